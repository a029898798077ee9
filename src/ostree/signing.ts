import { changeMode, makeDirectory, pathExists, readBytes, remove, writeFile } from '../host/files.ts';
import { join } from 'node:path';
import type { Host } from '../host/host.ts';
import { TreelineError } from '../host/errors.ts';

/** The key that signs commits and indexes. The private part never leaves `home`. */
export interface SigningKey {
  /** GnuPG home directory, absolute, mode 0700. */
  home: string;
  /** 40 hexadecimal digits. */
  fingerprint: string;
  /** Absolute; the public key as a binary OpenPGP keyring (RFC 9580), as gpgv and ostree read it. */
  publicKeyring: string;
}

/** The workspace's signing key, made at first use: ed25519, without passphrase and expiry, readable by its owner only. */
export async function openSigningKey(host: Host): Promise<SigningKey> {
  const home = host.workspace.keys;
  const publicKeyring = join(home, 'public.gpg');
  if (!(await pathExists(publicKeyring))) await createKey(host, home, publicKeyring);
  const listed = await gpg(host, home, ['--list-secret-keys', '--with-colons']);
  const fingerprint = /^fpr:+([0-9A-F]{40}):/m.exec(listed)?.[1];
  if (fingerprint === undefined) {
    throw new TreelineError('host', `Cannot sign: ${home} holds no secret key`, {
      hint: `Restore the key from your backup. If it is lost, remove ${home}: a new one is made, which running systems do not trust.`,
    });
  }
  return { home, fingerprint, publicKeyring };
}

async function createKey(host: Host, home: string, publicKeyring: string): Promise<void> {
  // What an interrupted creation left is of no use: without the public keyring nothing was signed yet.
  await remove(home);
  await makeDirectory(home);
  await changeMode(home, 0o700);
  await writeFile(join(home, 'gpg.conf'), 'batch\nno-tty\nno-greeting\n');
  const quick = ['--pinentry-mode', 'loopback', '--passphrase', '', '--quick-generate-key'];
  await gpg(host, home, [...quick, 'Treeline workspace <treeline@localhost>', 'ed25519', 'sign', 'never']);
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
}

async function gpg(host: Host, home: string, args: readonly string[]): Promise<string> {
  const output = await host.run({
    program: 'gpg',
    args: ['--homedir', home, '--batch', ...args],
    doing: 'use the signing key',
  });
  return output.stdout;
}
