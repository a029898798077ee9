import { aligned, offsetBytes } from './gvariant.ts';

/** Bytes of a value of variable length, and what its alignment is. */
interface Member {
  bytes: Buffer;
  alignment: 1 | 4 | 8;
  /** Of fixed length: no framing offset. */
  fixed?: boolean;
}

/** A tuple, or a dictionary entry; the last member needs no framing offset. */
export function tuple(members: readonly Member[]): Buffer {
  const { body, ends } = lay(members);
  const framed = ends.filter((_, index) => index < members.length - 1 && members[index]!.fixed !== true);
  return frame(body, framed.toReversed());
}

/** An array of elements of variable length. */
export function array(items: readonly Buffer[], alignment: Member['alignment'] = 8): Buffer {
  if (items.length === 0) return Buffer.alloc(0);
  const { body, ends } = lay(items.map((bytes) => ({ bytes, alignment })));
  return frame(body, ends);
}

/** A value of type `v`. */
export const variant = (type: string, bytes: Buffer): Buffer =>
  Buffer.concat([bytes, Buffer.from(`\0${type}`, 'latin1')]);

export const text = (value: string): Buffer => Buffer.from(`${value}\0`, 'utf8');

function lay(members: readonly Member[]): { body: Buffer; ends: number[] } {
  const pieces: Buffer[] = [];
  const ends: number[] = [];
  let position = 0;
  for (const { bytes, alignment } of members) {
    const start = alignment === 8 ? aligned(position) : Math.ceil(position / alignment) * alignment;
    pieces.push(Buffer.alloc(start - position), bytes);
    position = start + bytes.length;
    ends.push(position);
  }
  return { body: Buffer.concat(pieces), ends };
}

function frame(body: Buffer, ends: readonly number[]): Buffer {
  const size = [1, 2, 4].find((bytes) => offsetBytes(body.length + bytes * ends.length) <= bytes) ?? 8;
  const offsets = Buffer.alloc(size * ends.length);
  for (const [index, end] of ends.entries()) {
    if (size === 8) offsets.writeBigUInt64LE(BigInt(end), index * size);
    else offsets.writeUIntLE(end, index * size, size);
  }
  return Buffer.concat([body, offsets]);
}
