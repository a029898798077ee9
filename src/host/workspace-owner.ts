import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { TreelineError } from './errors.ts';
import { currentUser } from './rootless.ts';
import type { Workspace } from './workspace.ts';

/**
 * A workspace is one user's: the files of its trees have ids that another one's user namespace does not have, and root's do
 * not mean the same. Throws 'host' where it is another's. `doing`: a verb, for the error.
 */
export function requireOwnWorkspace(
  doing: string,
  { root, state, repository, keys, cache }: Workspace,
): void {
  const user = currentUser();
  for (const path of [repository, keys, cache]) {
    const owner = ownerOf(path);
    if (owner === undefined || owner === user.uid) continue;
    const name = nameOf(owner);
    throw new TreelineError('host', `Cannot ${doing} as ${user.name}: ${path} belongs to ${name}`, {
      hint:
        `A workspace is of use only to the user who began it: run the command as ${name} (${asUser(name)} …), or name another one with --workspace DIR.\n` +
        `      To begin anew in ${root}, remove ${state} as ${name}. Keep a copy of ${keys}: running systems trust them.`,
    });
  }
}

/** undefined also where this user may not look: then nothing can be written there either, which is told by who tries. */
function ownerOf(path: string): number | undefined {
  try {
    return statSync(path).uid;
  } catch {
    return undefined;
  }
}

const asUser = (name: string): string => (name === 'root' ? 'sudo' : `sudo -u ${name}`);

/** The account's name; its number where it has none. */
function nameOf(uid: number): string {
  try {
    return execFileSync('getent', ['passwd', String(uid)], { encoding: 'utf8' }).split(':')[0]!;
  } catch {
    return String(uid);
  }
}
