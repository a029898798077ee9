import { TreelineError } from '../host/errors.ts';
import { pathExists } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import type { GnupgHome, ListedKey } from './gpg.ts';
import { listKeys, listSecretKeys } from './gpg.ts';

/** Keys of the user's own GnuPG, as `--sign-key` names them. */
export interface NamedKeys {
  /** GnuPG home directory, absolute. */
  home: string;
  /** Fingerprints or user ids, at least one. */
  names: readonly string[];
}

/**
 * The fingerprints of the named keys; their secret halves stay where they are, with the agent. Throws 'host' where one is
 * missing, ambiguous, expired or revoked, or cannot sign, found out by signing.
 */
export async function findUserKeys(
  host: Host,
  gnupg: GnupgHome,
  names: readonly string[],
): Promise<string[]> {
  const found: string[] = [];
  for (const name of names) {
    const { fingerprint } = await findKey(host, gnupg, name);
    await trySigning(host, gnupg, { name, fingerprint });
    if (!found.includes(fingerprint)) found.push(fingerprint);
  }
  return found;
}

async function findKey(host: Host, gnupg: GnupgHome, name: string): Promise<ListedKey> {
  const { home } = gnupg;
  // gpg would make the directory.
  const [key, ...others] = (await pathExists(home)) ? await listSecretKeys(host, gnupg, name) : [];
  if (others.length > 0) {
    const all = [key!, ...others].map(({ fingerprint }) => fingerprint);
    throw cannot(
      name,
      `${home} holds ${all.length} keys of this name`,
      `Name one by its fingerprint: ${all.join(', ')}`,
    );
  }
  if (key === undefined) {
    const known =
      (await pathExists(home)) && (await listKeys(host, gnupg, ['--list-keys', '--', name])).length > 0;
    if (known)
      throw cannot(
        name,
        `${home} holds only its public half`,
        'Import the secret half, or plug in the card that has it.',
      );
    throw cannot(
      name,
      `${home} holds no such key`,
      `gpg --homedir ${home} --list-secret-keys shows what it holds; GNUPGHOME names another directory.`,
    );
  }
  const unfit = { e: 'it has expired', r: 'it is revoked', d: 'it is disabled', i: 'it is not valid' }[
    key.validity
  ];
  const extend = `gpg --homedir ${home} --quick-set-expire ${key.fingerprint} 2y`;
  if (key.validity === 'e')
    throw cannot(name, unfit!, `Give it more time, subkeys too (${extend}), or name another one.`);
  if (unfit !== undefined) throw cannot(name, unfit, 'Name another key with --sign-key.');
  if (!key.canSign)
    throw cannot(
      name,
      'it may not sign data',
      'Add a subkey that signs (gpg --quick-add-key), or name another key.',
    );
  return key;
}

/** Before anything is built: whether the agent has the secret, and can use it without asking where nobody answers. */
async function trySigning(
  host: Host,
  gnupg: GnupgHome,
  key: { name: string; fingerprint: string },
): Promise<void> {
  const { exitCode, stderr } = await host.run({
    program: 'gpg',
    args: [
      '--homedir',
      gnupg.home,
      '--batch',
      '--local-user',
      key.fingerprint,
      '--detach-sign',
      '--output',
      '-',
    ],
    env: { ...gnupg.environment },
    input: 'treeline',
    outputFile: '/dev/null',
    accept: [0, 1, 2],
  });
  if (exitCode === 0) return;
  throw new TreelineError('host', `Cannot sign with ${key.name}: gpg could not use its secret half`, {
    hint: 'Is the agent running, does it know the passphrase, is the card plugged in? See docs/keys.md.',
    output: stderr.trim(),
  });
}

const cannot = (name: string, reason: string, hint: string): TreelineError =>
  new TreelineError('host', `Cannot sign with ${name}: ${reason}`, { hint });
