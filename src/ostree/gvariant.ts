/*
 * Reading of GVariant's serialised form: values of variable length lie one after the other, and where each ends stands behind
 * the last one, in the smallest of 1, 2, 4 and 8 bytes that can count the whole container.
 * https://people.gnome.org/~desrt/gvariant-serialisation.pdf, 2.3 and 3.2
 */

/** Bytes of each framing offset of a container that has so many bytes. */
export const offsetBytes = (total: number): number =>
  total > 0xff_ff_ff_ff ? 8 : total > 0xff_ff ? 4 : total > 0xff ? 2 : 1;

/** The next position at which a value with an alignment of 8 bytes may begin. */
export const aligned = (position: number): number => Math.ceil(position / 8) * 8;

/** Ends of the first `count` members of variable length of a tuple; they stand at its end, the first one's last. */
export function tupleEnds(bytes: Buffer, count: number): number[] {
  const size = offsetBytes(bytes.length);
  return Array.from({ length: count }, (_, index) => readOffset(bytes, bytes.length - size * (index + 1)));
}

/** The elements, of variable length and aligned to 8 bytes, of an array. Throws RangeError where it is none. */
export function arrayItems(bytes: Buffer): Buffer[] {
  if (bytes.length === 0) return [];
  const size = offsetBytes(bytes.length);
  const first = readOffset(bytes, bytes.length - size);
  const count = (bytes.length - first) / size;
  if (!Number.isInteger(count) || count < 1) throw new RangeError('not an array of variable length');
  let start = 0;
  return Array.from({ length: count }, (_, index) => {
    const end = readOffset(bytes, first + index * size);
    if (end < start || end > first) throw new RangeError('an element that ends outside of its array');
    const item = bytes.subarray(start, end);
    start = aligned(end);
    return item;
  });
}

function readOffset(container: Buffer, position: number): number {
  const size = offsetBytes(container.length);
  return size === 8
    ? Number(container.readBigUInt64LE(position))
    : container.readUIntLE(position, size as 1 | 2 | 4);
}
