import { basename, join } from 'node:path';
import { makeDirectory, readBytes, remove, writeFileAtomically } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import type { Workspace } from '../host/workspace.ts';
import type { Commit } from '../model.ts';
import { gpg } from './gpg.ts';
import type { SigningKeys } from './signing.ts';

/**
 * Gives a commit every key's signature, in place of those it has. The same commit and keys give the same bytes, whenever they
 * are made: images and deltas carry them. Throws 'command' where gpg cannot sign.
 *
 * A signature says when it was made; ours says when the commit says it was made, or when the key came to be as it is now, if
 * that was later. `ostree gpg-sign` can only say now.
 */
export async function signCommit(
  host: Host,
  { id, timestamp }: Pick<Commit, 'id' | 'timestamp'>,
  keys: SigningKeys,
): Promise<void> {
  const place = signaturesOf(host.workspace, id);
  if (keys.signatures !== undefined) {
    await writeFileAtomically(place, await readBytes(keys.signatures));
    return;
  }
  const signatures: Uint8Array[] = [];
  for (const fingerprint of keys.fingerprints) {
    const made = Math.max(timestamp, await lastChange(host, keys, fingerprint));
    signatures.push(await signObject(host, keys, { path: place.replace(/meta$/, ''), fingerprint, made }));
  }
  await writeFileAtomically(place, formatCommitMeta(signatures));
}

/** Where the workspace's repository keeps a commit's signatures. */
export const signaturesOf = ({ repository }: Workspace, id: string): string =>
  join(repository, 'objects', id.slice(0, 2), `${id.slice(2)}.commitmeta`);

/** When a key, one of its subkeys, or what it says of itself (how long it is good) was made last; seconds since 1970. */
async function lastChange(host: Host, keys: SigningKeys, fingerprint: string): Promise<number> {
  const listed = await gpg(host, keys, ['--with-colons', '--fixed-list-mode', '--list-sigs', fingerprint]);
  const own = fingerprint.slice(-16);
  const times = listed
    .split('\n')
    .map((line) => line.split(':'))
    .filter(([kind, , , , by]) => kind === 'pub' || kind === 'sub' || (kind === 'sig' && by === own))
    .map((fields) => Number(fields[5]));
  return Math.max(...times);
}

async function signObject(
  host: Host,
  keys: SigningKeys,
  { path, fingerprint, made }: { path: string; fingerprint: string; made: number },
): Promise<Uint8Array> {
  await makeDirectory(host.workspace.temporary);
  const output = join(host.workspace.temporary, `signature-${basename(path)}`);
  await remove(output);
  // Nobody believes a signature from the future: SOURCE_DATE_EPOCH may lie there.
  const when = made < Date.now() / 1000 ? ['--faked-system-time', `${made}!`] : [];
  await gpg(host, keys, [
    ...when,
    ...['--local-user', fingerprint],
    ...['--output', output, '--detach-sign', path],
  ]);
  const signature = await readBytes(output);
  await remove(output);
  return signature;
}

/**
 * Pure: a `.commitmeta` object with OpenPGP signatures, as `ostree gpg-sign` writes it: a GVariant dictionary a{sv} whose
 * `ostree.gpgsigs` is an aay.
 * https://people.gnome.org/~desrt/gvariant-serialisation.pdf, 2.5
 */
export function formatCommitMeta(signatures: readonly Uint8Array[]): Buffer {
  const ends = signatures.map((_, index) =>
    signatures.slice(0, index + 1).reduce((sum, { length }) => sum + length, 0),
  );
  const value = Buffer.concat([withEnds(Buffer.concat(signatures), ends), Buffer.from('\0aay')]);
  const key = Buffer.from('ostree.gpgsigs\0');
  // A variant begins at a multiple of 8.
  const entry = withEnds(Buffer.concat([key, Buffer.alloc(-key.length & 7), value]), [key.length]);
  return withEnds(entry, [entry.length]);
}

/** A container's members and where they end, in the least width that can count the whole. */
function withEnds(members: Buffer, ends: readonly number[]): Buffer {
  const width = [1, 2, 4].find((bytes) => members.length + ends.length * bytes < 2 ** (8 * bytes))!;
  const framing = Buffer.alloc(ends.length * width);
  for (const [index, end] of ends.entries()) framing.writeUIntLE(end, index * width, width);
  return Buffer.concat([members, framing]);
}
