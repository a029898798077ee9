import { sign, verify } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { readMember } from './gzip-member.ts';
import type { PublicKey, SigningKey } from './keys.ts';
import { Refusal } from './refusal.ts';
import { readTar } from './tar-archive.ts';
import { tarFile } from './tar-writer.ts';

/** The longest signature member, unpacked. */
const signatureLimit = 1 << 16;

/** `.SIGN.<scheme>.<key file>` names the digest under an RSA PKCS#1 v1.5 signature. */
const digests: Readonly<Record<string, string>> = { RSA: 'sha1', RSA256: 'sha256' };

interface Signature {
  digest: string;
  keyName: string;
  bytes: Buffer;
}

export interface Signatures {
  found: readonly Signature[];
  /** Where the signature member ends, and what it signs begins. */
  end: number;
}

/**
 * The signatures in the first gzip member of a package or an index (apk-tools 2: a tar of `.SIGN.RSA.NAME` and
 * `.SIGN.RSA256.NAME` files). Throws a Refusal where the member is none.
 */
export function readSignatures(bytes: Buffer): Signatures {
  const { content, end } = readMember(bytes, 0, signatureLimit);
  const found: Signature[] = [];
  for (const entry of readTar(content, { end: 'optional' })) {
    const [, scheme, keyName] = /^\.SIGN\.(\w+)\.([^/]+)$/.exec(entry.path) ?? [];
    if (scheme === undefined || keyName === undefined || entry.type !== 'file') {
      throw new Refusal('it is not signed', { hint: unsignedHint });
    }
    const digest = digests[scheme];
    if (digest !== undefined) found.push({ digest, keyName, bytes: entry.content });
  }
  if (found.length === 0) throw new Refusal('it is not signed', { hint: unsignedHint });
  return { found, end };
}

const unsignedHint =
  'Packages and indexes must be signed; use a mirror that serves them as they were published.';

/** Throws a Refusal unless one of `keys` signed exactly `signed`. */
export function verifySignature(
  signatures: readonly Signature[],
  signed: Buffer,
  keys: readonly PublicKey[],
): void {
  for (const { digest, keyName, bytes } of signatures) {
    const key = keys.find(({ name }) => name === keyName);
    if (key === undefined) continue;
    if (verify(digest, signed, key.key, bytes)) return;
    throw new Refusal(`its signature by ${keyName} does not match`, {
      hint: 'The file is damaged or was changed after it was signed: fetch it again, or from another mirror.',
    });
  }
  const names = signatures.map(({ keyName }) => keyName).join(', ');
  throw new Refusal(`it is signed by ${names}, which is not among the ${keys.length} pinned keys`, {
    hint: 'If you trust that key, put its file into the keys directory of the layer that names the repository, and its name into the list `keys` of that repository where it has one.',
  });
}

/** The gzip member that makes `signed`, one or several compressed members, a signed file (RSA256). */
export function signatureMember(signed: Buffer, key: SigningKey): Buffer {
  const signature = sign('sha256', signed, key.key);
  // Without an end marker: apk reads the members as one archive.
  return gzip(tarFile(`.SIGN.RSA256.${key.name}`, signature));
}

/** Compresses to the same bytes whatever system zlib was built for. */
export function gzip(content: Buffer, level = 9): Buffer {
  const member = gzipSync(content, { level });
  const unknownSystem = 255;
  member[9] = unknownSystem;
  return member;
}
