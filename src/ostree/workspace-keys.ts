import { join } from 'node:path';
import { TreelineError } from '../host/errors.ts';
import {
  changeMode,
  makeDirectory,
  pathExists,
  readTextIfExists,
  remove,
  writeFile,
  writeFileAtomically,
} from '../host/files.ts';
import type { Host } from '../host/host.ts';
import type { GnupgHome, ListedKey } from './gpg.ts';
import { gpg, listSecretKeys } from './gpg.ts';

/*
 * The keys that the workspace makes for itself: a GnuPG home of its own, mode 0700. The file `signers` in it names those
 * that sign, one fingerprint a line, oldest first; without the file it is the first key alone. A secret key is never
 * removed: machines may trust it.
 */

/** A key of the workspace's own home, and whether it signs. */
export interface WorkspaceKey extends ListedKey {
  signs: boolean;
}

/**
 * The fingerprints of the keys that sign, oldest first; the first key is made at first use: ed25519, without passphrase
 * and expiry, readable by its owner only. `gnupg`: the way to the keys' directory. Throws 'host' where a secret key is gone.
 */
export async function openWorkspaceKeys(host: Host, gnupg: GnupgHome): Promise<string[]> {
  const { keys } = host.workspace;
  if (!(await pathExists(join(keys, 'public.gpg')))) await makeFirstKey(host, gnupg);
  const listed = await listWorkspaceKeys(host, gnupg);
  const secret = new Set(listed.map(({ fingerprint }) => fingerprint));
  const signers = await readSigners(keys, listed);
  const lost = signers.find((fingerprint) => !secret.has(fingerprint));
  if (signers.length === 0 || lost !== undefined) {
    throw new TreelineError(
      'host',
      `Cannot sign: ${keys} holds no secret key${lost === undefined ? '' : ` ${lost}`}`,
      {
        hint: `Restore the key from your backup. If it is lost, remove ${keys}: a new one is made, which running systems do not trust.`,
      },
    );
  }
  return signers;
}

/** Every secret key of the workspace, oldest first. */
export async function listWorkspaceKeys(host: Host, gnupg: GnupgHome): Promise<WorkspaceKey[]> {
  const listed = await listSecretKeys(host, gnupg);
  const signers = await readSigners(host.workspace.keys, listed);
  return listed.map((key) => ({ ...key, signs: signers.includes(key.fingerprint) }));
}

/** Makes a key that signs beside the one that does so now, and returns its fingerprint. One that a killed call made is left unused. */
export async function addWorkspaceKey(
  host: Host,
  gnupg: GnupgHome,
  signers: readonly string[],
): Promise<string> {
  // From now on the file tells which key signs, and a new one does not before it stands there.
  await writeSigners(host.workspace.keys, signers);
  const made = await generateKey(host, gnupg);
  await writeSigners(host.workspace.keys, [...signers, made]);
  return made;
}

/** From now on these keys sign, and no others. */
export const writeSigners = (keys: string, fingerprints: readonly string[]): Promise<void> =>
  writeFileAtomically(join(keys, 'signers'), fingerprints.map((line) => `${line}\n`).join(''));

async function readSigners(keys: string, listed: readonly ListedKey[]): Promise<string[]> {
  const text = await readTextIfExists(join(keys, 'signers'));
  if (text === undefined) return listed.slice(0, 1).map(({ fingerprint }) => fingerprint);
  return text.split('\n').filter((line) => line !== '');
}

async function makeFirstKey(host: Host, gnupg: GnupgHome): Promise<void> {
  const { keys } = host.workspace;
  // A secret key is never thrown away: systems may trust it. What else an interrupted creation left is of no use.
  if ((await pathExists(keys)) && (await listSecretKeys(host, gnupg).catch(() => [])).length > 0) return;
  await remove(keys);
  await makeDirectory(keys);
  await changeMode(keys, 0o700);
  await writeFile(join(keys, 'gpg.conf'), 'batch\nno-tty\nno-greeting\n');
  await generateKey(host, gnupg);
}

async function generateKey(host: Host, gnupg: GnupgHome): Promise<string> {
  const quick = [
    '--status-fd',
    '1',
    '--pinentry-mode',
    'loopback',
    '--passphrase',
    '',
    '--quick-generate-key',
  ];
  const userId = 'Treeline workspace <treeline@localhost>';
  // --yes: a second key of the same name is what a rotation is.
  const told = await gpg(host, gnupg, ['--yes', ...quick, userId, 'ed25519', 'sign', 'never']);
  return /^\[GNUPG:\] KEY_CREATED P ([0-9A-F]{40})/m.exec(told)![1]!;
}
