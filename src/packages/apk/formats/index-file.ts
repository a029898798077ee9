import { readMembers } from './gzip-member.ts';
import type { IndexEntry } from './index-entry.ts';
import { readIndexEntry } from './index-entry.ts';
import type { PublicKey, SigningKey } from './keys.ts';
import { Refusal, within } from './refusal.ts';
import { gzip, readSignatures, signatureMember, verifySignature } from './signature.ts';
import { readTar } from './tar-archive.ts';
import { tarEnd, tarFile } from './tar-writer.ts';

export type { IndexEntry } from './index-entry.ts';

/** Alpine's largest index has 10 MB. */
const indexLimit = 256 * 2 ** 20;

/**
 * The packages that an APKINDEX.tar.gz names (apk-tools 2: a signature member and a tar of `DESCRIPTION` and `APKINDEX`,
 * RSA PKCS#1 v1.5 over all compressed bytes behind the signature member), in its order. Throws 'package' with `label` (a
 * path or URL) where it is not signed by one of `keys`, damaged, or names what cannot be a package.
 */
export function readIndex(
  bytes: Buffer,
  { label, keys }: { label: string; keys: readonly PublicKey[] },
): IndexEntry[] {
  return within(label, () => {
    const { found, end } = readSignatures(bytes);
    verifySignature(found, bytes.subarray(end), keys);
    const text = readIndexText(bytes, end);
    return text
      .split(/\n\n+/)
      .map((record) => record.replace(/^\n|\n$/g, ''))
      .filter((record) => record !== '')
      .map(readIndexEntry);
  });
}

/**
 * An APKINDEX.tar.gz of the packages with these index lines, signed with `key` (RSA256). The same entries in any order make the
 * same bytes. Throws 'package' for lines that readIndex would not take.
 */
export function writeIndex(
  entries: readonly string[],
  { description, key }: { description: string; key: SigningKey },
): Buffer {
  const sorted = entries
    .map((text) => readIndexEntry(text.trimEnd()))
    .toSorted((a, b) => compare(a.name, b.name) || compare(a.version, b.version) || compare(a.text, b.text));
  const index = sorted.map(({ text }) => `${text}\n\n`).join('');
  const signed = gzip(
    Buffer.concat([
      tarFile('DESCRIPTION', Buffer.from(description)),
      tarFile('APKINDEX', Buffer.from(index)),
      tarEnd,
    ]),
  );
  return Buffer.concat([signatureMember(signed, key), signed]);
}

/** The file APKINDEX in the members from `start` on. */
function readIndexText(bytes: Buffer, start: number): string {
  const archive = readMembers(bytes, start, indexLimit);
  const files = [...readTar(archive, { end: 'optional' })].filter(({ path }) => path === 'APKINDEX');
  const [index, second] = files;
  if (index?.type !== 'file' || second !== undefined) {
    throw new Refusal('it has no file APKINDEX, or several', {
      hint: 'Only indexes of apk-tools 2 can be read (Alpine, all releases up to 3.23 at least).',
    });
  }
  return index.content.toString('utf8');
}

const compare = (a: string, b: string): number => (a < b ? -1 : Number(a > b));
