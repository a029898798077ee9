/**
 * Bytes of its dictionary that a decoder of these .xz bytes writes to: the dictionary, or all that is unpacked where that is
 * less. Read from the first block's header and the index at the end, as
 * https://xz.tukaani.org/format/xz-file-format.txt has them; one stream, LZMA2 alone. Throws RangeError where it is none.
 */
export const dictionaryTouched = (xz: Buffer): number => Math.min(dictionaryBytes(xz), unpackedBytes(xz));

const streamHeader = 12;
const streamFooter = 12;
const lzma2 = 0x21;

function dictionaryBytes(xz: Buffer): number {
  // Size of the header, flags (no sizes, one filter), the filter, how many bytes of properties it has, those.
  const [, flags, filter, properties, value = 0] = xz.subarray(streamHeader, streamHeader + 5);
  if (flags !== 0 || filter !== lzma2 || properties !== 1 || value > 39)
    throw new RangeError('not one block of LZMA2');
  return (2 + (value % 2)) * 2 ** (Math.floor(value / 2) + 11);
}

function unpackedBytes(xz: Buffer): number {
  const footer = xz.length - streamFooter;
  if (footer < 0 || xz.toString('latin1', xz.length - 2) !== 'YZ') throw new RangeError('not an .xz file');
  let position = footer - (xz.readUInt32LE(footer + 4) + 1) * 4;
  const next = (): number => xz.readUInt8(position++);
  const nextNumber = (): number => {
    for (let value = 0, factor = 1; ; factor *= 128) {
      const byte = next();
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  if (next() !== 0) throw new RangeError('an .xz file without an index');
  const blocks = nextNumber();
  let sum = 0;
  for (let block = 0; block < blocks; block += 1) {
    nextNumber();
    sum += nextNumber();
  }
  return sum;
}
