import { basename, dirname, join } from 'node:path';
import { TreelineError } from '../host/errors.ts';
import { changeMode, makeDirectory, readEntry, readTextIfExists, writeFile } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import type { Sysroot } from '../ostree/sysroot.ts';

/** Public ssh keys, one a line, as authorized_keys(5) takes them. */
export type AuthorizedKeys = readonly string[];

/** Fills the stateroot's /var from the tree's factory copy, and lets the keys' owners in as root. */
export async function seedState(host: Host, sysroot: Sysroot, keys: AuthorizedKeys): Promise<void> {
  const factory = join(sysroot.deployment, 'usr/share/factory/var');
  await host.run({ program: 'cp', args: ['--archive', `${factory}/.`, sysroot.state], doing: 'seed /var' });
  if (keys.length === 0) return;
  const directory = join(sysroot.state, 'roothome/.ssh');
  for (const path of [dirname(directory), directory]) {
    if ((await readEntry(path))?.kind !== 'symlink') continue;
    throw new TreelineError(
      'recipe',
      `Cannot let the ssh keys in: a layer makes ${basename(path)} of /root a link`,
      {
        hint: 'Lay a directory instead, or build with --no-ssh-key.',
      },
    );
  }
  await makeDirectory(directory);
  await changeMode(directory, 0o700);
  await writeFile(join(directory, 'authorized_keys'), `${keys.join('\n')}\n`, 0o600);
}

/** Reads public key files. Throws 'usage' for what is not one; a private key is never read further than its first line. */
export async function readPublicKeys(paths: readonly string[]): Promise<AuthorizedKeys> {
  const keys: string[] = [];
  for (const path of paths) {
    const text = await readTextIfExists(path);
    if (text === undefined) {
      throw new TreelineError('usage', `Cannot read the ssh key ${path}: there is no such file`, {
        hint: 'Name a public key with --ssh-key FILE; ssh-keygen -t ed25519 makes one.',
      });
    }
    if (text.startsWith('-----BEGIN ')) {
      throw new TreelineError('usage', `Cannot use the ssh key ${path}: it is a private key`, {
        hint: `Name its public half: --ssh-key ${path}.pub`,
      });
    }
    const lines = text.split('\n').map((line) => line.trim());
    const found = lines.filter((line) => /^(?!#)(.* )?(ssh-|ecdsa-|sk-)[\w@.-]+ [A-Za-z0-9+/=]+/.test(line));
    if (found.length === 0) {
      throw new TreelineError('usage', `Cannot use the ssh key ${path}: it holds no public ssh key`, {
        hint: 'A public key is a line that begins with ssh-ed25519, ssh-rsa or ecdsa-….',
      });
    }
    keys.push(...found);
  }
  return keys;
}
