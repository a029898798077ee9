import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { memoryToApply } from '../../src/ostree/delta-memory.ts';
import { arrayItems, tupleEnds } from '../../src/ostree/gvariant.ts';
import { dictionaryTouched } from '../../src/ostree/xz-memory.ts';
import { lacks } from '../helpers/needs.ts';

const MiB = 1 << 20;

describe('the memory that applying a delta needs', () => {
  const part = (dictionary: number, objects: number) => ({
    dictionaryBytes: dictionary * MiB,
    objectBytes: objects * MiB,
  });
  const [one, nothing] = ['1'.repeat(64), undefined];

  it.each<[string, string | undefined, ReturnType<typeof part>[], number]>([
    ['is that of ostree alone where there is nothing in it', one, [], 12],
    ['from nothing is with the largest dictionary', nothing, [part(2, 2), part(14, 20), part(3, 3)], 26],
    ['is with the largest new object where that is more than what it comes from', one, [part(2, 20)], 32],
    ['is the same whatever small parts come before', one, [part(1, 1), part(2, 20)], 32],
    ['counts a dictionary beside the buffer of the part before', one, [part(2, 20), part(3, 3)], 35],
    ['counts no buffer of a part behind', one, [part(14, 3), part(2, 5)], 26],
    ['is in whole MiB, rounded up', nothing, [part(1 / 3, 1)], 13],
  ])('%s', (_title, from, parts, expected) => {
    expect(memoryToApply({ from, parts })).toBe(expected * MiB);
  });
});

const missing = lacks({ programs: ['xz'] });

describe.skipIf(missing !== undefined)(
  `of an .xz file${missing === undefined ? '' : ` (${missing})`}`,
  () => {
    const compress = (bytes: number, ...options: string[]): Buffer =>
      execFileSync('xz', ['--stdout', '--check=crc64', ...options], { input: Buffer.alloc(bytes, 'text') });

    it.each([
      ['the dictionary counts where more is unpacked', 3_000_000, '--lzma2=preset=6,dict=1MiB', MiB],
      ['what is unpacked counts where the dictionary is larger', 100_000, '-8', 100_000],
      ['a dictionary need not be a power of two', 9 * MiB, '--lzma2=preset=1,dict=6MiB', 6 * MiB],
      ['all blocks count', 3_000_000, '--block-size=1000000', 3_000_000],
    ])('%s', (_title, bytes, options, expected) => {
      expect(dictionaryTouched(compress(bytes, options))).toBe(expected);
    });

    it('another filter, and what is no .xz file, are refused', () => {
      expect(() => dictionaryTouched(compress(1000, '--x86', '--lzma2'))).toThrow(RangeError);
      expect(() => dictionaryTouched(Buffer.alloc(100))).toThrow(RangeError);
      expect(() => dictionaryTouched(Buffer.alloc(3))).toThrow(RangeError);
    });
  },
);

describe('GVariant', () => {
  // The examples of the specification, 2.5.
  it('gives where the members of a tuple end', () => {
    expect(tupleEnds(Buffer.from('foo\0\xff\xff\xff\xff\x04', 'latin1'), 1)).toEqual([4]);
  });

  it('gives the elements of an array, each aligned', () => {
    const bytes = Buffer.from('one\0\0\0\0\0three\0\x04\x0e', 'latin1');
    expect(arrayItems(bytes).map(String)).toEqual(['one\0', 'three\0']);
    expect(arrayItems(Buffer.alloc(0))).toEqual([]);
  });

  it('refuses an array whose elements lie outside of it, or one behind another', () => {
    for (const bytes of ['one\0\x05\x04', 'one\0\x09', 'one\0\0\0\0\0three\0\x0e\x04'])
      expect(() => arrayItems(Buffer.from(bytes, 'latin1'))).toThrow(RangeError);
  });
});
