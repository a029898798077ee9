import { join } from 'node:path';
import { makeDirectory, remove } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import type { GnupgHome } from './gpg.ts';
import { listKeys } from './gpg.ts';

/** The fingerprints of the keys that a machine which runs this commit trusts; none where the tree names none. */
export async function readTrustedKeys(host: Host, gnupg: GnupgHome, commit: string): Promise<string[]> {
  const { repository, temporary } = host.workspace;
  await makeDirectory(temporary);
  const keyring = join(temporary, `trusted-${commit.slice(0, 12)}.gpg`);
  const { exitCode } = await host.run({
    program: 'ostree',
    args: [`--repo=${repository}`, 'cat', commit, '/usr/share/treeline/trusted.gpg'],
    outputFile: keyring,
    accept: [0, 1],
  });
  try {
    const keys = exitCode === 0 ? await listKeys(host, gnupg, ['--show-keys', keyring]) : [];
    return keys.map(({ fingerprint }) => fingerprint);
  } finally {
    await remove(keyring);
  }
}
