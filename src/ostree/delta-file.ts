import { aligned, arrayItems, offsetBytes, tupleEnds } from './gvariant.ts';
import { dictionaryTouched } from './xz-memory.ts';

/** What an inline static delta says of itself. */
export interface DeltaFile {
  /** Commits; `from` undefined: from nothing. */
  from: string | undefined;
  to: string;
  /** Where in the file the time stands at which it was made: eight bytes, big-endian, seconds since 1970. */
  timeAt: number;
  /** The time of the commit that it leads to, as these eight bytes. */
  commitTime: Buffer;
  /** What its parts were packed with, where it is one of ours. */
  packer: string | undefined;
  /** In the order they are applied in. */
  parts: readonly DeltaPart[];
}

export interface DeltaPart {
  /** Of all its objects together. */
  objectBytes: number;
  /** Bytes that its decompression writes to, besides what it gives. */
  dictionaryBytes: number;
  /** Type and id of each object, as they stand in the file, in hexadecimal. */
  objects: string;
  /** The compressed part, and before it the byte that says how it is compressed. */
  data: Buffer;
  /** Of `data`, as the file says. */
  sha256: string;
}

/**
 * Reads `(a{sv}tayay(a{sv}aya(say)sstayay)aya(uayttay)a(yaytt))`, OSTREE_STATIC_DELTA_SUPERBLOCK_FORMAT of
 * https://github.com/ostreedev/ostree/blob/v2022.7/src/libostree/ostree-repo-static-delta-private.h, with all parts inside
 * and LZMA-compressed, as ostree writes it. Throws RangeError where the bytes are nothing of the kind.
 */
export function readDeltaFile(bytes: Buffer): DeltaFile {
  const [metadataEnd, fromEnd, toEnd, commitEnd, parentsEnd, headersEnd] = tupleEnds(bytes, 6) as Ends;
  const timeAt = aligned(metadataEnd);
  const fromAt = timeAt + 8;
  if (![fromAt, fromAt + 32].includes(fromEnd) || toEnd !== fromEnd + 32)
    throw new RangeError('a delta without the names of its commits');
  const items = arrayItems(bytes.subarray(0, metadataEnd)).map(readEntry);
  const parts = items.flatMap(partOf);
  const headers = arrayItems(bytes.subarray(aligned(parentsEnd), headersEnd));
  if (parts.length !== headers.length) throw new RangeError('a delta that has not all parts inside');
  return {
    from: fromEnd === fromAt ? undefined : bytes.toString('hex', fromAt, fromEnd),
    to: bytes.toString('hex', fromEnd, toEnd),
    timeAt,
    commitTime: timeOf(bytes.subarray(aligned(toEnd), commitEnd)),
    packer: items.map(packerOf).find((packer) => packer !== undefined),
    parts: parts.map((data, index) => readPart(headers[index]!, data)),
  };
}

/** In the dictionary of a delta that we packed ourselves. */
export const packerKey = 'treeline.packer';

type Ends = [number, number, number, number, number, number];

/** A part and its header, `(uayttay)`: version, SHA-256, compressed size, size of the objects, their types and ids. */
function readPart(header: Buffer, data: Buffer): DeltaPart {
  return {
    sha256: header.toString('hex', 4, 36),
    objectBytes: Number(header.readBigUInt64LE(48)),
    objects: header.toString('hex', 56, header.length - offsetBytes(header.length)),
    dictionaryBytes: dictionaryTouched(data.subarray(1)),
    data,
  };
}

interface Item {
  key: string;
  type: string;
  value: Buffer;
}

/** An entry `{sv}` of a dictionary. */
function readEntry(entry: Buffer): Item {
  const [keyEnd] = tupleEnds(entry, 1) as [number];
  const value = entry.subarray(aligned(keyEnd), entry.length - offsetBytes(entry.length));
  const typeAt = value.lastIndexOf(0);
  return {
    key: entry.toString('utf8', 0, keyEnd - 1),
    type: value.toString('latin1', typeAt + 1),
    value: value.subarray(0, Math.max(0, typeAt)),
  };
}

/** In a list, where it is one. */
function partOf({ type, value }: Item): Buffer[] {
  if (type !== '(yay)') return [];
  if (value[0] !== 'x'.codePointAt(0)) throw new RangeError('a part that is not LZMA-compressed');
  return [value];
}

const packerOf = ({ key, type, value }: Item): string | undefined =>
  key === packerKey && type === 's' ? value.toString('utf8', 0, value.length - 1) : undefined;

/** The time in a commit object, `(a{sv}aya(say)sstayay)`: behind the fifth of its members of variable length. */
function timeOf(commit: Buffer): Buffer {
  const bodyEnd = tupleEnds(commit, 5)[4]!;
  return commit.subarray(aligned(bodyEnd), aligned(bodyEnd) + 8);
}
