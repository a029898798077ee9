import { crc32, inflateRawSync } from 'node:zlib';
import { Refusal } from './refusal.ts';

export interface Member {
  content: Buffer;
  /** Where the next member begins: the offset behind the trailer. */
  end: number;
}

/**
 * One gzip member (RFC 1952) that begins at `offset`, with its CRC-32 and length checked. Throws a Refusal where there is
 * none, where it is damaged or cut off, and where more than `limit` bytes would come out: no more than that is ever held.
 */
export function readMember(bytes: Buffer, offset: number, limit: number): Member {
  const body = endOfHeader(bytes, offset);
  const { content, consumed } = inflate(bytes, body, limit);
  const trailer = body + consumed;
  if (trailer + trailerBytes > bytes.length) throw new Refusal('it is cut off inside a gzip trailer');
  if (bytes.readUInt32LE(trailer) !== crc32(content)) {
    throw new Refusal(`the checksum of the gzip member at byte ${offset} does not match`);
  }
  if (bytes.readUInt32LE(trailer + 4) !== content.length % 2 ** 32) {
    throw new Refusal(`the length of the gzip member at byte ${offset} does not match`);
  }
  return { content, end: trailer + trailerBytes };
}

/**
 * The contents of all members from `offset` to the end of `bytes`, at least one, as one. Throws as readMember does; `limit` is for
 * all together.
 */
export function readMembers(bytes: Buffer, offset: number, limit: number): Buffer {
  const contents: Buffer[] = [];
  let left = limit;
  for (let at = offset; at < bytes.length || at === offset;) {
    // zlib takes no limit of 0.
    const { content, end } = readMember(bytes, at, Math.max(left, 1));
    left -= content.length;
    if (left < 0) throw tooMuch(limit);
    contents.push(content);
    at = end;
  }
  const [only] = contents;
  return only !== undefined && contents.length === 1 ? only : Buffer.concat(contents);
}

const trailerBytes = 8;
const flag = { headerChecksum: 2, extra: 4, name: 8, comment: 16, reserved: 0xe0 };

function endOfHeader(bytes: Buffer, offset: number): number {
  const cutOff = new Refusal('it is cut off inside a gzip header');
  if (offset + 10 > bytes.length) throw cutOff;
  if (bytes.readUInt16BE(offset) !== 0x1f8b || bytes[offset + 2] !== 8) {
    throw new Refusal(`there is no gzip member at byte ${offset}`);
  }
  const flags = bytes.readUInt8(offset + 3);
  if ((flags & flag.reserved) !== 0) {
    throw new Refusal(`the gzip member at byte ${offset} has unknown flags`);
  }
  let at = offset + 10;
  if ((flags & flag.extra) !== 0) {
    if (at + 2 > bytes.length) throw cutOff;
    at += 2 + bytes.readUInt16LE(at);
  }
  for (const text of [flag.name, flag.comment]) {
    if ((flags & text) === 0) continue;
    const end = bytes.indexOf(0, at);
    if (end === -1) throw cutOff;
    at = end + 1;
  }
  if ((flags & flag.headerChecksum) !== 0) {
    if (at + 2 > bytes.length) throw cutOff;
    if (bytes.readUInt16LE(at) !== (crc32(bytes.subarray(offset, at)) & 0xffff)) {
      throw new Refusal(`the checksum of the gzip header at byte ${offset} does not match`);
    }
    at += 2;
  }
  if (at > bytes.length) throw cutOff;
  return at;
}

/** What `info: true` makes inflateRawSync return; `bytesWritten` counts the input that was used. */
interface Inflated {
  buffer: Buffer;
  engine: { bytesWritten: number };
}

function inflate(bytes: Buffer, start: number, limit: number): { content: Buffer; consumed: number } {
  const options = { info: true, maxOutputLength: limit, chunkSize: chunkSize(bytes, start, limit) };
  try {
    const { buffer, engine } = inflateRawSync(bytes.subarray(start), options) as unknown as Inflated;
    return { content: buffer, consumed: engine.bytesWritten };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ERR_BUFFER_TOO_LARGE') throw tooMuch(limit);
    if (code === 'Z_BUF_ERROR') throw new Refusal('it is cut off inside a gzip member', { cause: error });
    if (code === 'Z_DATA_ERROR') throw new Refusal('its gzip data is damaged', { cause: error });
    throw error;
  }
}

/** Why an archive that unpacks to more than `limit` bytes is refused. */
const tooMuch = (limit: number): Refusal =>
  new Refusal(`it unpacks to more than ${limit} bytes (a gzip bomb)`);

const largestChunk = 2 ** 30;
/** Deflate makes no more of a byte. */
const largestRatio = 1032;

/**
 * One chunk for all output spares a second copy of it. The last member's length stands at the end of the file; where it
 * lies, zlib takes more chunks, or address space that is never touched.
 */
function chunkSize(bytes: Buffer, start: number, limit: number): number {
  const stated = bytes.length < 4 ? 0 : bytes.readUInt32LE(bytes.length - 4);
  const possible = Math.min(stated, limit, largestRatio * (bytes.length - start), largestChunk);
  return Math.max(1 << 16, possible + 64);
}
