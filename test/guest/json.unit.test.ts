import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { busybox, busyboxInstalled, library } from './busybox.ts';

const parse = (text: string) => busybox(['awk', '-f', join(library, 'json.awk')], { input: text });
const lines = (text: string): string[] => {
  const { status, stdout, stderr } = parse(text);
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return stdout.split('\n').slice(0, -1);
};

describe.skipIf(!busyboxInstalled)('json.awk under busybox (skipped where busybox is not installed)', () => {
  it('prints one line a value, its place as a JSON pointer', () => {
    const index = {
      format: 1,
      refs: { 'treeline/debian-12/x86_64/vm': { commit: 'ab', version: '20251104.1' } },
      deltas: [
        { from: null, bytes: 12 },
        { from: 'cd', bytes: 3 },
      ],
    };
    const expected = [
      '/format\t1',
      '/refs/treeline~1debian-12~1x86_64~1vm/commit\tab',
      '/refs/treeline~1debian-12~1x86_64~1vm/version\t20251104.1',
      '/deltas/0/from\tnull',
      '/deltas/0/bytes\t12',
      '/deltas/1/from\tcd',
      '/deltas/1/bytes\t3',
    ];
    expect(lines(JSON.stringify(index))).toEqual(expected);
    expect(lines(JSON.stringify(index, undefined, 3))).toEqual(expected);
  });

  it('prints empty containers, and scalars that stand alone', () => {
    expect(lines('{"a":{},"b":[],"c":""}')).toEqual(['/a\t{}', '/b\t[]', '/c\t']);
    expect(lines(' true ')).toEqual(['\ttrue']);
    expect(lines('-2.5e+3')).toEqual(['\t-2.5e+3']);
  });

  it('decodes escapes, but not those that would break a line', () => {
    expect(lines(String.raw`"\u00e9 \ud83d\ude00 \" \/ \u0041"`)).toEqual(['\té 😀 " / A']);
    expect(lines(String.raw`"a\nb\tc\\d\u0000\u001f"`)).toEqual([String.raw`	a\nb\tc\\d\u0000\u001f`]);
    expect(lines(String.raw`{"a\tb~/":1}`)).toEqual([String.raw`/a\tb~0~1	1`]);
  });

  it('reads strings longer than its window, and deep and wide texts', () => {
    const long = 'x'.repeat(20_000);
    expect(lines(JSON.stringify({ long }))).toEqual([`/long\t${long}`]);
    expect(lines(`${'['.repeat(60)}1${']'.repeat(60)}`)).toEqual([`${'/0'.repeat(60)}\t1`]);
    expect(lines(JSON.stringify(Array.from({ length: 3000 }, (_, index) => index)))).toHaveLength(3000);
  });

  it.each([
    '',
    '{',
    '[1,2',
    '{"a":1,}',
    '[1,]',
    '{"a" 1}',
    '{a:1}',
    "{'a':1}",
    '01',
    '1.',
    '.5',
    '+1',
    'nul',
    'True',
    '[1] 2',
    '"no end',
    '"a\nb"',
    '"tab\there"',
    String.raw`"\x"`,
    String.raw`"\u12g4"`,
    String.raw`"\ud800"`,
    String.raw`"\udc00"`,
    String.raw`"\ud800\u0041"`,
    '['.repeat(100),
    `${'['.repeat(70)}${']'.repeat(70)}`,
  ])('refuses %j, and prints no value of it', (text) => {
    const { status, stdout, stderr } = parse(text);
    expect(status).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^not valid JSON: /);
  });
});
