import { createHash } from 'node:crypto';
import { gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { Verification } from '../../../../src/packages/apk/formats/package-file.ts';
import {
  checkPackage,
  indexEntryOf,
  verifyPackage,
} from '../../../../src/packages/apk/formats/package-file.ts';
import type { ApkRequest } from '../../../helpers/apks.ts';
import {
  buildApk,
  buildDate,
  gzipOfZeros,
  makeKey,
  membersOf,
  rawTarEntry,
  signatureMember,
  tarEnd,
} from '../../../helpers/apks.ts';
import { refusalOf } from './refusals.ts';

const key = makeKey();
const other = makeKey('other@example.org-2.rsa.pub');
const label = 'tree-1.0-r0';
const verify = (bytes: Buffer, more: Partial<Verification> = {}) =>
  verifyPackage(bytes, { label, keys: [key.public], setuid: [], ...more });
const check = (bytes: Buffer, more: Partial<Verification> = {}) =>
  checkPackage(bytes, { label, keys: [key.public], ...more });
const build = (more: Partial<ApkRequest> = {}): Buffer => buildApk({ name: 'tree', ...more }, key);

const good = build({
  scripts: { '.trigger': '#!/bin/sh\n', '.post-install': '#!/bin/sh\n' },
  depends: ['a>1', 'b'],
});
const [signature, control, data] = membersOf(good) as [Buffer, Buffer, Buffer];
const sum = `Q1${createHash('sha1').update(control).digest('base64')}`;
const expected = {
  name: 'tree',
  version: '1.0-r0',
  architecture: 'x86_64',
  size: good.length,
  checksum: sum,
};

/** A package with a control member of this tar, and a signature and hash that match. */
function withControl(tar: Buffer): Buffer {
  const packed = gzipSync(tar);
  return Buffer.concat([signatureMember(packed, key), packed, data]);
}

const hash = createHash('sha256').update(data).digest('hex');
const pkginfo = (more: string, replace: [RegExp | string, string] = ['', '']): string =>
  `pkgname = tree\npkgver = 1\narch = noarch\nsize = 10\ndatahash = ${hash}\n${more}`.replace(...replace);
const withInfo = (text: string): Buffer => withControl(rawTarEntry({ path: '.PKGINFO', content: text }));

describe('a package', () => {
  it('that verifies says what it is', () => {
    const { info, ...rest } = verify(good, { expected });
    expect(rest).toEqual({
      name: 'tree',
      version: '1.0-r0',
      architecture: 'x86_64',
      buildDate,
      checksum: sum,
      size: good.length,
      scripts: ['.post-install', '.trigger'],
    });
    expect(info.get('depend')).toEqual(['a>1', 'b']);
    expect(check(good, { expected })).toEqual(verify(good));
  });

  it.each(['RSA', 'RSA256'] as const)('may be signed by %s', (scheme) => {
    expect(verify(build({ scheme })).name).toBe('tree');
  });

  it('may have its data in several members, which are one archive', () => {
    const tar = Buffer.concat([rawTarEntry({ path: 'a', content: 'x'.repeat(2000) }), tarEnd]);
    const parts = Buffer.concat([gzipSync(tar.subarray(0, 700)), gzipSync(''), gzipSync(tar.subarray(700))]);
    const info = pkginfo('', [hash, createHash('sha256').update(parts).digest('hex')]);
    const packed = gzipSync(rawTarEntry({ path: '.PKGINFO', content: info }));
    expect(verify(Buffer.concat([signatureMember(packed, key), packed, parts])).name).toBe('tree');
  });

  it('of no architecture fits any', () => {
    const bytes = build({ arch: 'noarch' });
    const { checksum, size } = verify(bytes);
    const wanted = { ...expected, architecture: 'aarch64', checksum, size };
    expect(verify(bytes, { expected: wanted }).architecture).toBe('noarch');
  });

  it('stands in an index under the architecture of the repository', () => {
    expect(
      indexEntryOf(verify(build({ arch: 'noarch', depends: ['a', 'b=1'], provides: ['c'] })), 'x86_64'),
    ).toMatch(
      /^C:Q1\S+\nP:tree\nV:1.0-r0\nA:x86_64\nS:\d+\nI:\d+\nT:tree for tests\nU:https:\/\/example.org\nL:MIT\no:tree\nm:Test <test@example.org>\nt:1700000000\nD:a b=1\np:c$/,
    );
  });

  const foreign = membersOf(build({ name: 'evil' })) as [Buffer, Buffer, Buffer];
  const changed = Buffer.concat([signature, control, foreign[2]]);

  it.each([
    ['is not signed', Buffer.concat([control, data]), 'it is not signed'],
    [
      'is signed by a key that is not pinned',
      buildApk({ name: 'tree' }, other),
      'it is signed by other@example.org-2.rsa.pub, which is not among the 1 pinned keys',
    ],
    [
      'is signed by another key under the pinned name',
      buildApk({ name: 'tree' }, { ...other, name: key.name }),
      `its signature by ${key.name} does not match`,
    ],
    [
      'has a good signature over another file',
      Buffer.concat([signature, foreign[1], foreign[2]]),
      `its signature by ${key.name} does not match`,
    ],
    ['has the data of another package', changed, 'its data has the SHA-256'],
    [
      'states a hash that its data does not have',
      build({ datahash: '0'.repeat(64) }),
      `but its datahash is ${'0'.repeat(64)}`,
    ],
    ['has no data', Buffer.concat([signature, control]), 'it has no data'],
    ['has no control member', signature, 'it is cut off'],
    ['goes on behind its data', Buffer.concat([good, Buffer.from('more')]), 'its data has the SHA-256'],
    ['has a second signature member', Buffer.concat([signature, good]), 'does not match'],
    ['is no package', Buffer.from('<html>not found</html>'), 'there is no gzip member at byte 0'],
    ['is empty', Buffer.alloc(0), 'it is cut off'],
  ])('is refused where it %s, also when it comes out of the cache', (_, bytes, reason) => {
    for (const work of [verify, check]) {
      const error = refusalOf(() => work(bytes));
      expect(error.code).toBe('package');
      expect(error.message.startsWith(`Cannot use ${label}: `)).toBe(true);
      expect(error.message).toContain(reason);
    }
  });

  it.each([
    ['size', { size: good.length + 1 }, `its size is ${good.length}, not ${good.length + 1}`],
    ['checksum', { checksum: `Q1${'A'.repeat(27)}=` }, `its checksum is ${sum}, not Q1AAA`],
    ['name', { name: 'three' }, 'its name is tree, not three'],
    ['version', { version: '1.1-r0' }, 'its version is 1.0-r0, not 1.1-r0'],
    ['architecture', { architecture: 'aarch64' }, 'its architecture is x86_64, not aarch64'],
  ])('is refused where an index promised another %s', (_, difference, reason) => {
    const wanted = { ...expected, ...difference };
    for (const work of [verify, check]) {
      expect(refusalOf(() => work(good, { expected: wanted })).message).toContain(reason);
    }
  });

  it.each([
    ['no .PKGINFO', withControl(rawTarEntry({ path: '.post-install', content: 'x' })), 'it has no .PKGINFO'],
    [
      'two of them',
      withControl(Buffer.concat([1, 2].map(() => rawTarEntry({ path: '.PKGINFO', content: pkginfo('') })))),
      'its control member has .PKGINFO twice',
    ],
    [
      'files in its control member',
      withControl(rawTarEntry({ path: 'etc/passwd', content: 'x' })),
      'its control member has the file "etc/passwd"',
    ],
    [
      'a link as .PKGINFO',
      withControl(rawTarEntry({ path: '.PKGINFO', type: '2', link: '/etc/passwd' })),
      'its control member has the symlink ".PKGINFO"',
    ],
    [
      'a signature in its control member',
      withControl(rawTarEntry({ path: `.SIGN.RSA.${key.name}`, content: 'x' })),
      'its control member has the file ".SIGN.RSA.',
    ],
    ['two names', withInfo(pkginfo('pkgname = other\n')), 'its .PKGINFO states pkgname more than once'],
    ['two hashes', withInfo(pkginfo(`datahash = ${hash}\n`)), 'its .PKGINFO states datahash more than once'],
    ['no hash', withInfo(pkginfo('', [/datahash.*\n/, ''])), 'its .PKGINFO states no datahash'],
    ['a short hash', withInfo(pkginfo('', [hash, 'abc'])), 'its .PKGINFO has no SHA-256 as datahash'],
    [
      'a name that climbs',
      withInfo(pkginfo('', ['= tree', '= ../x'])),
      'no package can have the name "../x"',
    ],
    [
      'a version that climbs',
      withInfo(pkginfo('', ['= 1\n', '= 1/../x\n'])),
      'no package can have the version',
    ],
    ['an installed size that is none', withInfo(pkginfo('', ['= 10', '= ten'])), 'the installed size "ten"'],
    ['a control character', withInfo(pkginfo('pkgdesc = a\rb\n')), 'its .PKGINFO has a control character'],
  ])('is refused where it has %s', (_, bytes, reason) => {
    expect(refusalOf(() => verify(bytes)).message).toContain(reason);
  });

  it('is refused where it is cut off anywhere', () => {
    for (let length = 0; length < good.length; length += 1) {
      expect(refusalOf(() => verify(good.subarray(0, length))).code).toBe('package');
    }
  });

  it('never passes with a changed byte, and never fails otherwise than with a reason', () => {
    const original = verify(good);
    for (let at = 0; at < good.length; at += 1) {
      const damaged = Buffer.from(good);
      damaged[at]! ^= 1 << (at % 8);
      try {
        // Nothing covers e.g. the time in the signature's gzip header: what is read must be the same then.
        expect(verify(damaged)).toEqual(original);
        expect(at).toBeLessThan(signature.length);
      } catch (error) {
        expect(error).toMatchObject({ code: 'package' });
      }
    }
  });

  it.each([
    ['signature', (bomb: Buffer) => Buffer.concat([bomb, control, data])],
    ['control member', (bomb: Buffer) => Buffer.concat([signatureMember(bomb, key), bomb, data])],
  ])('whose %s is a bomb is refused', (_, make) => {
    expect(gunzipSync(gzipOfZeros(3)).equals(Buffer.alloc(3 << 20))).toBe(true);
    const bomb = gzipOfZeros(64);
    expect(refusalOf(() => verify(make(bomb))).message).toContain('a gzip bomb');
  });

  it('that unpacks to far more than it states is refused', () => {
    const large = build({ packedData: gzipOfZeros(512), size: 4096 });
    expect(refusalOf(() => verify(large)).message).toContain(
      `it unpacks to more than ${64 * 2 ** 20 + 2 * 4096} bytes (a gzip bomb)`,
    );
  });
});
