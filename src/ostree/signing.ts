import { dirname, join } from 'node:path';
import {
  changeMode,
  makeDirectory,
  makeLink,
  pathExists,
  readBytes,
  remove,
  temporaryDirectory,
  writeFile,
} from '../host/files.ts';
import type { Host } from '../host/host.ts';
import { TreelineError } from '../host/errors.ts';

/** The key that signs commits and indexes. The private part never leaves `home`. */
export interface SigningKey {
  /** GnuPG home directory, absolute, mode 0700; a short link to it where its own path is too long for GnuPG. */
  home: string;
  /** 40 hexadecimal digits. */
  fingerprint: string;
  /** Absolute; the public key as a binary OpenPGP keyring (RFC 9580), as gpgv and ostree read it. */
  publicKeyring: string;
}

/** The workspace's signing key, made at first use: ed25519, without passphrase and expiry, readable by its owner only. */
export async function openSigningKey(host: Host): Promise<SigningKey> {
  const { keys } = host.workspace;
  const publicKeyring = join(keys, 'public.gpg');
  const isNew = !(await pathExists(publicKeyring));
  const home = await shortPath(keys);
  if (isNew) await createKey(host, { keys, home, publicKeyring });
  const fingerprint = await findSecretKey(host, home);
  if (fingerprint === undefined) {
    throw new TreelineError('host', `Cannot sign: ${keys} holds no secret key`, {
      hint: `Restore the key from your backup. If it is lost, remove ${keys}: a new one is made, which running systems do not trust.`,
    });
  }
  return { home, fingerprint, publicKeyring };
}

/** gpg-agent's sockets lie in the home directory, and a socket's path is at most 107 bytes long: see unix(7). */
async function shortPath(keys: string): Promise<string> {
  if (Buffer.byteLength(keys) <= 80) return keys;
  const link = join(await temporaryDirectory('/tmp', 'treeline-keys'), 'home');
  await makeLink(keys, link);
  return link;
}

async function findSecretKey(host: Host, home: string): Promise<string | undefined> {
  const listed = await gpg(host, home, ['--list-secret-keys', '--with-colons']);
  return /^fpr:+([0-9A-F]{40}):/m.exec(listed)?.[1];
}

async function createKey(
  host: Host,
  { keys, home, publicKeyring }: { keys: string; home: string; publicKeyring: string },
): Promise<void> {
  // A secret key is never thrown away: systems may trust it. What else an interrupted creation left is of no use.
  const whole = (await pathExists(keys)) && (await findSecretKey(host, home).catch(() => undefined));
  if (!whole) {
    await remove(keys);
    await makeDirectory(keys);
    await changeMode(keys, 0o700);
    await writeFile(join(keys, 'gpg.conf'), 'batch\nno-tty\nno-greeting\n');
    const quick = ['--pinentry-mode', 'loopback', '--passphrase', '', '--quick-generate-key'];
    await gpg(host, home, [...quick, 'Treeline workspace <treeline@localhost>', 'ed25519', 'sign', 'never']);
  }
  await remove(`${publicKeyring}.new`);
  await gpg(host, home, ['--output', `${publicKeyring}.new`, '--export']);
  await host.run({ program: 'mv', args: [`${publicKeyring}.new`, publicKeyring] });
}

/** A detached binary signature (RFC 9580) over a file's bytes. */
export async function signFile(host: Host, key: SigningKey, path: string): Promise<Uint8Array> {
  const signature = `${path}.sig.new`;
  await remove(signature);
  await gpg(host, key.home, ['--local-user', key.fingerprint, '--output', signature, '--detach-sign', path]);
  const bytes = await readBytes(signature);
  await remove(signature);
  return bytes;
}

/** Ends the agent that gpg started for this key, so that no process outlives the command. */
export async function closeSigningKey(host: Host, key: SigningKey): Promise<void> {
  await host.run({ program: 'gpgconf', args: ['--homedir', key.home, '--kill', 'gpg-agent'] });
  if (key.home !== host.workspace.keys) await remove(dirname(key.home));
}

async function gpg(host: Host, home: string, args: readonly string[]): Promise<string> {
  const output = await host.run({
    program: 'gpg',
    args: ['--homedir', home, '--batch', ...args],
    doing: 'use the signing key',
  });
  return output.stdout;
}
