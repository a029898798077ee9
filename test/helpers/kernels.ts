import { execFileSync } from 'node:child_process';

/** Where the payload of `bzImage` starts, in bytes: five sectors of setup code, and what its header names behind them. */
export const payloadStart = 5 * 512 + 16;

/**
 * A file that has of Linux's bzImage what its boot protocol says of the payload, and the payload packed as Linux packs by
 * LZ4: that and four bytes with the length. `payload`: another one instead. It boots nothing.
 */
export function bzImage(content: Buffer, { payload = packed(content) }: { payload?: Buffer } = {}): Buffer {
  const head = Buffer.alloc(payloadStart, 'head');
  head.writeUInt8(4, 497);
  head.write('HdrS', 514);
  head.writeUInt16LE(0x20f, 518);
  head.writeUInt32LE(16, 584);
  head.writeUInt32LE(payload.length, 588);
  return Buffer.concat([head, payload, Buffer.from('tail of the image')]);
}

function packed(content: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(content.length);
  return Buffer.concat([lz4(['-l', '-9'], content), length]);
}

const lz4 = (args: readonly string[], input: Buffer): Buffer =>
  execFileSync('lz4', [...args, '-c', '-'], { input, maxBuffer: 1 << 28, stdio: ['pipe', 'pipe', 'ignore'] });

/**
 * A real kernel of Debian whose `uname -v` begins with `#7` instead of `#1`: other bytes inside, packed as Linux does it.
 * Its header says how long the payload is, and code inside relies on that, so that the length must not change.
 */
export function renumbered(image: Buffer): Buffer {
  const start = (image.readUInt8(497) + 1) * 512 + image.readUInt32LE(584);
  const end = start + image.readUInt32LE(588) - 4;
  const content = lz4(['-d'], image.subarray(start, end));
  for (let at = 0; (at = content.indexOf('#1 SMP ', at)) !== -1; at += 1) content.write('#7', at);
  const payload = lz4(['-l', '-9'], content);
  if (payload.length !== end - start)
    throw new Error(`the payload has ${payload.length} bytes now, ${end - start} before`);
  return Buffer.concat([image.subarray(0, start), payload, image.subarray(end)]);
}

/**
 * Bytes like those of programs: functions that call one another, so that a few instructions more in every fiftieth function
 * (`grown`) change the distances in all of them. A delta finds little in it once it is packed, and much before.
 */
export function machineCode({ grown }: { grown: boolean }): Buffer {
  const random = numbers();
  const opcodes = [0x48, 0x4c, 0x41, 0x8b, 0x89, 0xe8];
  const count = 600;
  const functions = Array.from({ length: count }, (_, number) => {
    const calls = Array.from({ length: 20 + random(40) }, () => ({
      code: Array.from({ length: 2 + random(6) }, () => opcodes[random(opcodes.length)]!),
      // Some functions are called by many.
      to: Math.floor((random(count) * random(count)) / count),
    }));
    return { calls, more: grown && number % 50 === 0 ? 12 : 0 };
  });
  const places: number[] = [];
  let place = 0;
  for (const { calls, more } of functions) {
    places.push(place);
    place += more + calls.reduce((sum, { code }) => sum + code.length + 4, 0);
  }
  const bytes: number[] = [];
  const distance = Buffer.alloc(4);
  for (const { calls, more } of functions) {
    for (const { code, to } of calls) {
      bytes.push(...code);
      distance.writeInt32LE(places[to]! - bytes.length - 4);
      bytes.push(...distance);
    }
    for (let left = more; left > 0; left -= 1) bytes.push(0x90);
  }
  return Buffer.from(bytes);
}

/** The same ones each time: whole numbers below `limit`. */
function numbers(): (limit: number) => number {
  let state = 1;
  return (limit) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % limit;
  };
}
