import { sign } from 'node:crypto';
import { gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { readIndex, writeIndex } from '../../../../src/packages/apk/formats/index-file.ts';
import {
  gzipOfZeros,
  makeKey,
  membersOf,
  rawTarEntry,
  signatureMember,
  tarEnd,
} from '../../../helpers/apks.ts';
import { refusalOf } from './refusals.ts';

const key = makeKey();
const options = { label: 'main/APKINDEX.tar.gz', keys: [key.public] };
const checksum = 'Q1mcpyM8ftLHlvmaMjdLoBo6zq/Fo=';

const lines = (fields: Record<string, string> = {}): string =>
  Object.entries({ C: checksum, P: 'tree', V: '1.0-r0', A: 'x86_64', S: '1518', ...fields })
    .map(([field, value]) => `${field}:${value}`)
    .join('\n');

/** A signed index with this text in it. */
function indexOf(text: string, name = 'APKINDEX'): Buffer {
  const signed = gzipSync(Buffer.concat([rawTarEntry({ path: name, content: text }), tarEnd]));
  return Buffer.concat([signatureMember(signed, key), signed]);
}

describe('an index', () => {
  it('gives each package with its lines as they stand', () => {
    const text = lines({
      t: '1706291505',
      D: 'openrc>=0.24 so:libc.musl-x86_64.so.1 !old',
      p: 'cmd:tree=1.0-r0 x',
      k: '5',
    });
    expect(readIndex(indexOf(`${text}\n\n${lines({ P: 'second' })}\n\n`), options)).toEqual([
      {
        name: 'tree',
        version: '1.0-r0',
        architecture: 'x86_64',
        size: 1518,
        checksum,
        buildDate: 1_706_291_505,
        dependencies: ['openrc>=0.24', 'so:libc.musl-x86_64.so.1', '!old'],
        provides: ['cmd:tree=1.0-r0', 'x'],
        text,
      },
      expect.objectContaining({ name: 'second', dependencies: [], provides: [], buildDate: 0 }),
    ]);
  });

  it('may be empty', () => {
    expect(readIndex(indexOf(''), options)).toEqual([]);
    expect(readIndex(writeIndex([], { description: 'none', key: key.signing }), options)).toEqual([]);
  });

  it('is written sorted, the same bytes for the same packages', () => {
    const texts = [lines({ P: 'b' }), lines({ P: 'a', V: '2' }), lines({ P: 'a', V: '1' })];
    const written = writeIndex(texts, { description: 'v1', key: key.signing });
    expect(written).toEqual(writeIndex(texts.toReversed(), { description: 'v1', key: key.signing }));
    expect(readIndex(written, options).map(({ text }) => text)).toEqual(texts.toReversed());
    expect(gunzipSync(membersOf(written)[1]!).toString()).toContain('DESCRIPTION');
  });

  it.each(['RSA', 'RSA256'] as const)('may be signed by %s, over several members', (scheme) => {
    const signed = Buffer.concat([
      gzipSync(rawTarEntry({ path: 'DESCRIPTION', content: 'x' })),
      gzipSync(Buffer.concat([rawTarEntry({ path: 'APKINDEX', content: lines() }), tarEnd])),
    ]);
    const index = Buffer.concat([signatureMember(signed, key, scheme), signed]);
    expect(readIndex(index, options)).toHaveLength(1);
  });

  it('may have other signatures before the one of a pinned key', () => {
    const signed = membersOf(indexOf(lines()))[1]!;
    const entry = (path: string, content: Buffer): Buffer => rawTarEntry({ path, content });
    const signatures = gzipSync(
      Buffer.concat([
        entry('.SIGN.RSA512.other.rsa.pub', Buffer.alloc(256)),
        entry('.SIGN.RSA.unknown.rsa.pub', Buffer.alloc(256)),
        entry(`.SIGN.RSA256.${key.name}`, sign('sha256', signed, key.signing.key)),
      ]),
    );
    expect(readIndex(Buffer.concat([signatures, signed]), options)).toHaveLength(1);
  });

  const good = indexOf(lines());
  const [signature, signed] = membersOf(good) as [Buffer, Buffer];
  const other = makeKey('other@example.org-2.rsa.pub');

  it.each([
    ['is not signed', signed, 'it is not signed'],
    [
      'is signed by a key that is not pinned',
      Buffer.concat([signatureMember(signed, other), signed]),
      'it is signed by other@example.org-2.rsa.pub, which is not among the 1 pinned keys',
    ],
    [
      'is signed by another key under the pinned name',
      Buffer.concat([signatureMember(signed, { ...other, name: key.name }), signed]),
      `its signature by ${key.name} does not match`,
    ],
    [
      'has the signature of another index',
      Buffer.concat([membersOf(indexOf(lines({ P: 'x' })))[0]!, signed]),
      `its signature by ${key.name} does not match`,
    ],
    [
      'has a SHA-256 signature that is called SHA-1',
      Buffer.concat([
        gzipSync(
          rawTarEntry({ path: `.SIGN.RSA.${key.name}`, content: sign('sha256', signed, key.signing.key) }),
        ),
        signed,
      ]),
      `its signature by ${key.name} does not match`,
    ],
    [
      'has only signatures of kinds that are not known',
      Buffer.concat([gzipSync(rawTarEntry({ path: `.SIGN.DSA.${key.name}`, content: 'x' })), signed]),
      'it is not signed',
    ],
    [
      'goes on behind what is signed',
      Buffer.concat([good, gzipSync(rawTarEntry({ path: 'APKINDEX', content: lines() }))]),
      `its signature by ${key.name} does not match`,
    ],
    [
      'has more than signatures in its first member',
      Buffer.concat([
        gzipSync(
          Buffer.concat([
            rawTarEntry({
              path: `.SIGN.RSA256.${key.name}`,
              content: sign('sha256', signed, key.signing.key),
            }),
            rawTarEntry({ path: 'etc/passwd', content: 'x' }),
          ]),
        ),
        signed,
      ]),
      'it is not signed',
    ],
    ['has a signature only', signature, `its signature by ${key.name} does not match`],
    [
      'has another file in the place of the index',
      indexOf(lines(), 'APKINDEX.new'),
      'it has no file APKINDEX',
    ],
    ['is empty', Buffer.alloc(0), 'it is cut off'],
  ])('is refused where it %s', (_, bytes, reason) => {
    const error = refusalOf(() => readIndex(bytes, options));
    expect(error.code).toBe('package');
    expect(error.message).toContain(`Cannot use main/APKINDEX.tar.gz: ${reason}`);
  });

  it.each([
    ['a name that climbs', { P: '../../etc/passwd' }, 'no package can have the name "../../etc/passwd"'],
    ['a name with a slash', { P: 'a/b' }, 'no package can have the name'],
    ['a name with a blank', { P: 'a b' }, 'no package can have the name'],
    ['a name with a control character', { P: 'a\u0007' }, 'no package can have the name'],
    ['a hidden name', { P: '.ssh' }, 'no package can have the name'],
    ['an empty name', { P: '' }, 'no package can have the name'],
    ['an option as a name', { P: '--root' }, 'no package can have the name'],
    ['a version that climbs', { V: '1/../../x' }, 'no package can have the version "1/../../x"'],
    ['a version with two dots', { V: '1..2' }, 'no package can have the version'],
    ['an architecture that climbs', { A: '..' }, 'no package can have the architecture ".."'],
    ['a size that is none', { S: '1e3' }, 'the size "1e3" of a package is no whole number'],
    ['a negative size', { S: '-1' }, 'is no whole number'],
    ['a size beyond all numbers', { S: '9007199254740993' }, 'is no whole number'],
    ['a build date that is none', { t: 'now' }, 'the build date "now" of a package is no whole number'],
    ['a checksum of another kind', { C: `Q2${'A'.repeat(43)}=` }, 'which is no SHA-1 (Q1…)'],
    ['a checksum that climbs', { C: 'Q1../../../../../../../../../..=' }, 'which is no SHA-1 (Q1…)'],
  ])('is refused where a package has %s', (_, fields, reason) => {
    expect(refusalOf(() => readIndex(indexOf(lines(fields)), options)).message).toContain(reason);
    expect(() => writeIndex([lines(fields)], { description: '', key: key.signing })).toThrow(reason);
  });

  it.each([
    ['lacks a field', lines().replace(/^S:.*$/m, 'Z:'), 'the package tree in it has no field S'],
    ['states a field twice', `${lines()}\nP:other`, 'a package in it has the field P twice: P:other'],
    ['has a line of another form', `${lines()}\nhello`, 'it has the line "hello"'],
  ])('is refused where a package %s', (_, text, reason) => {
    expect(refusalOf(() => readIndex(indexOf(text), options)).message).toContain(reason);
  });

  it('never passes with a changed byte or cut short, and never fails otherwise than with a reason', () => {
    for (let at = 0; at < good.length; at += 1) {
      expect(refusalOf(() => readIndex(good.subarray(0, at), options)).code).toBe('package');
      const damaged = Buffer.from(good);
      damaged[at]! ^= 1 << (at % 8);
      if (at >= signature.length) expect(refusalOf(() => readIndex(damaged, options)).code).toBe('package');
      else expectSameOrRefused(damaged);
    }
  });

  /** What no signature covers, e.g. the time in the signature's gzip header, may differ; what is read may not. */
  function expectSameOrRefused(damaged: Buffer): void {
    try {
      expect(readIndex(damaged, options)).toEqual(readIndex(good, options));
    } catch (error) {
      expect(error).toMatchObject({ code: 'package' });
    }
  }

  it('of 23,000 packages is read', () => {
    const texts = Array.from({ length: 23_000 }, (_, index) =>
      lines({ P: `package-${index}`, T: `${index} `.repeat(40), D: 'so:a so:b so:c', p: 'cmd:a=1 cmd:b=1' }),
    );
    const index = writeIndex(texts, { description: 'large', key: key.signing });
    expect(readIndex(index, options)).toHaveLength(23_000);
  });

  it('that is a bomb is refused', () => {
    const bomb = gzipOfZeros(300);
    const index = Buffer.concat([signatureMember(bomb, key), bomb]);
    expect(refusalOf(() => readIndex(index, options)).message).toContain('a gzip bomb');
  });
});
