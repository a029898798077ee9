import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Group, User } from '../model.ts';
import { accountRecords, withRecords } from '../recipe/account-records.ts';
import { existsInTree, putFile, readInTree } from './write.ts';

/** Modes of files that no package brought. */
const modes = { passwd: 0o644, group: 0o644, shadow: 0o600 } as const;

/** Writes the recipe's accounts into passwd(5), group(5) and shadow(5); what packages brought stays, other names too. */
export async function writeAccounts(
  root: string,
  users: readonly User[],
  groups: readonly Group[],
): Promise<void> {
  const records = accountRecords(users, groups);
  for (const kind of ['passwd', 'group', 'shadow'] as const) {
    const path = `etc/${kind}`;
    const exists = await existsInTree(root, path);
    const { mode, uid, gid } = exists ? await lstat(join(root, path)) : { mode: modes[kind], uid: 0, gid: 0 };
    const text = withRecords(kind, exists ? await readInTree(root, path) : '', records[kind]);
    await putFile(root, path, text, { mode: mode & 0o7777, uid, gid });
  }
}
