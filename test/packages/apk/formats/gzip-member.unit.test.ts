import { crc32, deflateRawSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { readMember, readMembers } from '../../../../src/packages/apk/formats/gzip-member.ts';
import { refusalOf } from './refusals.ts';

const text = 'some text that is long enough to be compressed, compressed, compressed\n';
const limit = 1 << 20;

/** A member with a header of its own making. */
function member(flags: number, optional: Buffer | string, content = text): Buffer {
  const header = Buffer.from([0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 255]);
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc32(content), 0);
  trailer.writeUInt32LE(content.length, 4);
  return Buffer.concat([header, Buffer.from(optional), deflateRawSync(content), trailer]);
}

describe('a gzip member', () => {
  it('is read where it begins, and says where it ends', () => {
    const [first, second] = [gzipSync('one'), gzipSync('two')];
    const bytes = Buffer.concat([Buffer.from('xx'), first, second, Buffer.from('yy')]);
    expect(readMember(bytes, 2, limit)).toEqual({ content: Buffer.from('one'), end: 2 + first.length });
    const { content, end } = readMember(bytes, 2 + first.length, limit);
    expect([content.toString(), end]).toEqual(['two', bytes.length - 2]);
  });

  it.each([
    ['empty', ''],
    ['of one chunk', 'x'.repeat(65_536)],
    ['of many chunks', 'abc'.repeat(200_000)],
  ])('that is %s comes out whole', (_, content) => {
    const bytes = Buffer.concat([gzipSync(content), gzipSync('behind it')]);
    expect(readMember(bytes, 0, limit).content.toString()).toBe(content);
  });

  it.each([
    ['a file name', 8, 'name\0'],
    ['a comment', 16, 'comment\0'],
    ['extra bytes', 4, Buffer.from([3, 0, 1, 2, 3])],
    ['all of them', 4 + 8 + 16, Buffer.from('\u0001\0xname\0comment\0', 'latin1')],
  ])('may have %s in its header', (_, flags, optional) => {
    const bytes = member(flags, optional);
    expect(readMember(bytes, 0, limit)).toEqual({ content: Buffer.from(text), end: bytes.length });
  });

  it('may have a checksum of its header, which must match', () => {
    const header = Buffer.from([0x1f, 0x8b, 8, 2, 0, 0, 0, 0, 0, 255]);
    const sum = Buffer.alloc(2);
    sum.writeUInt16LE(crc32(header) & 0xffff);
    expect(readMember(member(2, sum), 0, limit).content.toString()).toBe(text);
    sum[0]! ^= 1;
    expect(refusalOf(() => readMember(member(2, sum), 0, limit)).message).toContain(
      'the checksum of the gzip header at byte 0 does not match',
    );
  });

  it.each([
    ['something else', Buffer.from('PK\u0003\u0004 no gzip at all'), 'there is no gzip member at byte 0'],
    ['unknown flags', member(0x20, ''), 'has unknown flags'],
    ['nothing', Buffer.alloc(0), 'cut off inside a gzip header'],
    ['a name without an end', member(8, '').subarray(0, 12), 'cut off inside a gzip header'],
    ['extra bytes without an end', member(4, Buffer.from([255, 255])), 'cut off inside a gzip header'],
  ])('is refused where there is %s', (_, bytes, reason) => {
    const error = refusalOf(() => readMember(bytes, 0, limit));
    expect(error.code).toBe('package');
    expect(error.message).toContain(reason);
  });

  it('is refused where its checksum or its length does not match', () => {
    for (const [fromEnd, what] of [
      [8, 'checksum'],
      [4, 'length'],
    ] as const) {
      const bytes = gzipSync(text);
      bytes[bytes.length - fromEnd]! ^= 1;
      expect(refusalOf(() => readMember(bytes, 0, limit)).message).toContain(
        `the ${what} of the gzip member at byte 0 does not match`,
      );
    }
  });

  it('is refused as cut off at every length', () => {
    const optional = Buffer.from('\u0003\0xyzname\0comment\0\0\0', 'latin1');
    const header = Buffer.concat([member(2 + 4 + 8 + 16, '').subarray(0, 10), optional.subarray(0, -2)]);
    optional.writeUInt16LE(crc32(header) & 0xffff, optional.length - 2);
    const whole = member(2 + 4 + 8 + 16, optional);
    expect(readMember(whole, 0, limit).end).toBe(whole.length);
    for (let length = 0; length < whole.length; length += 1) {
      expect(refusalOf(() => readMember(whole.subarray(0, length), 0, limit)).message).toContain(
        'it is cut off',
      );
    }
  });

  it('is read up to the limit, and not a byte further', () => {
    const bytes = gzipSync(Buffer.alloc(100_000));
    expect(readMember(bytes, 0, 100_000).content).toHaveLength(100_000);
    expect(refusalOf(() => readMember(bytes, 0, 99_999)).message).toContain(
      'it unpacks to more than 99999 bytes (a gzip bomb)',
    );
  });
});

describe('gzip members one after the other', () => {
  const members = Buffer.concat([gzipSync('one '), gzipSync(''), gzipSync('two')]);

  it('are read as one, up to the end', () => {
    expect(readMembers(members, 0, limit).toString()).toBe('one two');
    expect(refusalOf(() => readMembers(Buffer.concat([members, Buffer.alloc(1)]), 0, limit)).code).toBe(
      'package',
    );
    expect(refusalOf(() => readMembers(members, members.length, limit)).message).toContain('it is cut off');
  });

  it('have one limit together', () => {
    expect(readMembers(members, 0, 7).toString()).toBe('one two');
    for (const less of [1, 4, 6]) {
      expect(refusalOf(() => readMembers(members, 0, less)).message).toContain('it unpacks to more than');
    }
  });
});
