import type { Group, User } from '../model.ts';
import { putFile } from './write.ts';

/**
 * Writes passwd(5), group(5) and shadow(5). Dates of password changes are left empty, so that they do not drift; the
 * fields behind them are filled with shadow's defaults, because busybox takes no record in which all are empty.
 */
export async function writeAccounts(
  root: string,
  users: readonly User[],
  groups: readonly Group[],
): Promise<void> {
  const gidOf = new Map(groups.map((group) => [group.name, group.gid]));
  const byUid = users.toSorted((a, b) => a.uid - b.uid);
  const passwd = byUid.map(
    (user) =>
      `${user.name}:x:${user.uid}:${gidOf.get(user.group) ?? user.uid}:${user.gecos}:${user.home}:${user.shell}\n`,
  );
  const shadow = byUid.map((user) => `${user.name}:${user.password}::0:99999:7:::\n`);
  const group = groups
    .toSorted((a, b) => a.gid - b.gid)
    .map((entry) => `${entry.name}:x:${entry.gid}:${entry.members.join(',')}\n`);
  await putFile(root, 'etc/passwd', passwd.join(''));
  await putFile(root, 'etc/group', group.join(''));
  await putFile(root, 'etc/shadow', shadow.join(''), { mode: 0o600 });
}
