import { dirname, join } from 'node:path';
import { agentVariables } from '../host/environment.ts';
import {
  makeDirectory,
  makeLink,
  pathExists,
  readBytes,
  remove,
  temporaryDirectory,
  writeFileAtomically,
} from '../host/files.ts';
import type { Host } from '../host/host.ts';
import type { GnupgHome } from './gpg.ts';
import { gpg } from './gpg.ts';
import type { NamedKeys } from './user-keys.ts';
import { findUserKeys } from './user-keys.ts';
import { openWorkspaceKeys } from './workspace-keys.ts';

/** The keys that sign commits and indexes, and which machines are to trust. No private half leaves `home`, or the agent. */
export interface SigningKeys extends GnupgHome {
  /** 40 hexadecimal digits each, oldest first; every one of them signs. */
  fingerprints: readonly string[];
  /** Absolute; the public halves as a binary OpenPGP keyring (RFC 9580), as gpgv and ostree read it. */
  publicKeyring: string;
  /** A file with the signatures that the only commit to be made has already, as OSTree keeps them; nothing else is signed then. */
  signatures?: string;
}

/**
 * The keys of the user's own GnuPG that are named, or else those of the workspace, the first one made at first use.
 * Throws 'host' where one cannot be used.
 */
export async function openSigningKeys(host: Host, named?: NamedKeys): Promise<SigningKeys> {
  const { keys, state } = host.workspace;
  const gnupg =
    named === undefined
      ? { home: await shortPath(keys), environment: {} }
      : { home: named.home, environment: agentVariables() };
  const fingerprints =
    named === undefined ? await openWorkspaceKeys(host, gnupg) : await findUserKeys(host, gnupg, named.names);
  const publicKeyring = named === undefined ? join(keys, 'public.gpg') : join(state, 'sign-keys.gpg');
  await writePublicKeyring(host, { ...gnupg, fingerprints, publicKeyring });
  return { ...gnupg, fingerprints, publicKeyring };
}

/** gpg-agent's sockets lie in the home directory, and a socket's path is at most 107 bytes long: see unix(7). */
async function shortPath(keys: string): Promise<string> {
  if (Buffer.byteLength(keys) <= 80) return keys;
  const link = join(await temporaryDirectory('/tmp', 'treeline-keys'), 'home');
  await makeLink(keys, link);
  return link;
}

/** The same keys give the same bytes, whatever else the home holds: the keyring is part of every tree. */
async function writePublicKeyring(host: Host, keys: SigningKeys): Promise<void> {
  const exported = join(host.workspace.temporary, 'public-key');
  await makeDirectory(host.workspace.temporary);
  const parts: Buffer[] = [];
  for (const fingerprint of keys.fingerprints) {
    await remove(exported);
    // Minimal: what others have certified would make another tree every time.
    await gpg(host, keys, [
      '--output',
      exported,
      '--export-options',
      'export-minimal',
      '--export',
      fingerprint,
    ]);
    parts.push(await readBytes(exported));
  }
  await remove(exported);
  const keyring = Buffer.concat(parts);
  const same = (await pathExists(keys.publicKeyring)) && keyring.equals(await readBytes(keys.publicKeyring));
  if (!same) await writeFileAtomically(keys.publicKeyring, keyring);
}

/** A detached binary signature (RFC 9580) over a file's bytes by every key, good for so many days from now. */
export async function signFile(
  host: Host,
  keys: SigningKeys,
  path: string,
  days: number,
): Promise<Uint8Array> {
  const signature = `${path}.sig.new`;
  await remove(signature);
  const by = keys.fingerprints.flatMap((fingerprint) => ['--local-user', fingerprint]);
  await gpg(host, keys, [
    ...by,
    '--default-sig-expire',
    `${days}d`,
    '--output',
    signature,
    '--detach-sign',
    path,
  ]);
  const bytes = await readBytes(signature);
  await remove(signature);
  return bytes;
}

/** A signature of a key that `home` knows, good as to its bytes; `expires`: 0 where it never does. Times in seconds since 1970. */
export interface CheckedSignature {
  /** Of the primary key. */
  fingerprint: string;
  made: number;
  expires: number;
}

/** Those of a file's detached signatures that are good, expired or not. */
export async function checkSignatures(
  host: Host,
  { home, environment }: GnupgHome,
  { path, signature }: { path: string; signature: string },
): Promise<CheckedSignature[]> {
  const { stdout } = await host.run({
    program: 'gpg',
    args: ['--homedir', home, '--batch', '--status-fd', '1', '--verify', signature, path],
    env: { ...environment },
    accept: [0, 1, 2],
    doing: 'check a signature',
  });
  const good = stdout.matchAll(/^\[GNUPG:\] VALIDSIG \w+ \S+ (\d+) (\d+) .*\b([0-9A-F]{40})$/gm);
  return [...good].map(([, made, expires, fingerprint]) => ({
    fingerprint: fingerprint!,
    made: Number(made),
    expires: Number(expires),
  }));
}

/** Ends the agent that gpg started for the workspace's keys, so that no process outlives the command; the user's own stays. */
export async function closeSigningKeys(host: Host, { home, publicKeyring }: SigningKeys): Promise<void> {
  const { keys } = host.workspace;
  if (dirname(publicKeyring) !== keys) return;
  await host.run({ program: 'gpgconf', args: ['--homedir', home, '--kill', 'gpg-agent'] });
  if (home !== keys) await remove(dirname(home));
}
