import { describe, expect, it } from 'vitest';
import { verifyPackage } from '../../../../src/packages/apk/formats/package-file.ts';
import type { RawTarEntry } from '../../../helpers/apks.ts';
import { buildApk, makeKey, paxHeader, rawTarEntry, tarEnd } from '../../../helpers/apks.ts';
import { refusalOf } from './refusals.ts';

const key = makeKey();

/** Verifies a package, signed and hashed as it should be, whose data is made of these entries. */
function verify(
  entries: readonly (RawTarEntry | Buffer)[],
  setuid: readonly string[] = [],
  end = tarEnd,
): unknown {
  const blocks = entries.map((entry) => (Buffer.isBuffer(entry) ? entry : rawTarEntry(entry)));
  const apk = buildApk({ name: 'tree', data: Buffer.concat([...blocks, end]) }, key);
  return verifyPackage(apk, { label: 'tree-1.0-r0', keys: [key.public], setuid });
}

const file = (path: string, more: Partial<RawTarEntry> = {}): RawTarEntry => ({
  path,
  content: 'x',
  ...more,
});
const directory = (path: string, mode = 0o755): RawTarEntry => ({ path, type: '5', mode });
const symlink = (path: string, link: string): RawTarEntry => ({ path, type: '2', link });
const hardlink = (path: string, link: string): RawTarEntry => ({ path, type: '1', link });
const longName = (name: string, type = 'L'): RawTarEntry => ({
  path: '././@LongLink',
  type,
  content: `${name}\0`,
});

describe('the data of a package', () => {
  it.each<[string, (RawTarEntry | Buffer)[]]>([
    ['nothing', []],
    [
      'files, directories and links',
      [
        directory('usr/'),
        directory('usr/bin'),
        file('usr/bin/a'),
        symlink('usr/bin/b', 'a'),
        hardlink('usr/bin/c', 'usr/bin/a'),
        hardlink('usr/bin/d', 'usr/bin/c'),
      ],
    ],
    [
      'a directory twice, and without one above it',
      [file('a/b/c'), directory('a/b/'), directory('a/b/'), directory('a/')],
    ],
    ['an absolute symlink', [symlink('usr/lib/x', '/etc/x')]],
    ['a symlink up to the root', [symlink('usr/lib/x', '../../etc/x'), symlink('y', './z/../etc')]],
    ['a sticky or setgid directory', [directory('tmp/', 0o1777), directory('var/mail/', 0o2775)]],
    ['a ustar prefix', [file('c', { prefix: 'a/b' })]],
    [
      'PAX names and checksums',
      [
        paxHeader({
          path: `usr/${'long/'.repeat(30)}x`,
          'APK-TOOLS.checksum.SHA1': '0'.repeat(40),
          mtime: '1.5',
        }),
        file('short'),
        paxHeader({ linkpath: 'y'.repeat(300) }),
        symlink('l', 'short'),
      ],
    ],
    ['GNU long names', [longName(`usr/${'long/'.repeat(30)}x`), file('short')]],
    ['a comment for all entries', [paxHeader({ comment: 'hello' }, 'g'), file('a')]],
    ['a name in UTF-8', [file('usr/share/Überraschung')]],
    ['a hidden name, which apk skips', [file('.dummy')]],
    ['an attribute of its user', [paxHeader({ 'SCHILY.xattr.user.note': 'x' }), file('a')]],
    ["abuild-tar's checksum behind an empty link", [file('a', { link: '\0\0\0APK2@\0\u0014\0digest' })]],
  ])('may have %s', (_, entries) => {
    expect(verify(entries)).toMatchObject({ name: 'tree' });
  });

  it.each<[string, (RawTarEntry | Buffer)[], string]>([
    ['an absolute name', [file('/etc/passwd')], '"/etc/passwd" is an absolute name'],
    ['an absolute directory', [directory('/etc/')], '"/etc/" is an absolute name'],
    ['the root itself', [directory('/')], '"/" is an empty name'],
    ['the directory `.`', [directory('./')], '"./" has an empty component in its name, or `.`'],
    ['a name that climbs', [file('../x')], '"../x" climbs out of its directory with `..`'],
    ['a name that climbs within', [file('usr/../../x')], 'climbs out of its directory'],
    ['a name that ends in `..`', [directory('usr/..')], 'climbs out of its directory'],
    ['a name that begins with ./', [file('./etc/x')], '"./etc/x" has an empty component in its name, or `.`'],
    ['an empty component', [file('usr//x')], 'has an empty component'],
    ['a file name that ends in a slash', [file('usr/')], 'has an empty component'],
    ['an empty name', [file('')], 'has an empty name'],
    ['an empty PAX name', [paxHeader({ path: '' }), file('a')], '"" is an empty name'],
    ['a line break in a name', [file('a\nF:etc')], '"a\\nF:etc" has a control character in its name'],
    ['a NUL in a name', [file('good\0/../evil')], '"good" in its archive has a NUL inside the name'],
    ['a NUL in a link', [symlink('a', 'good\0evil')], '"good" in its archive has a NUL inside the name'],
    ['a NUL in a PAX name', [paxHeader({ path: 'good\0evil' }), file('a')], 'has a NUL in "path"'],
    ['a NUL in a GNU long name', [longName('good\0evil'), file('a')], 'has a NUL inside'],
    ['a bad name under a good one (PAX)', [paxHeader({ path: '../evil' }), file('good')], '"../evil" climbs'],
    ['a bad name under a good one (GNU)', [longName('/evil'), file('good')], '"/evil" is an absolute name'],
    ['a bad name in a prefix', [file('x', { prefix: '../..' })], '"../../x" climbs'],
    [
      'a bad link under a good one',
      [paxHeader({ linkpath: '../../x' }), symlink('a/b', 'good')],
      'is a symlink that leaves the tree: "../../x"',
    ],
    ['an absolute name in a prefix', [file('x', { prefix: '/etc' })], '"/etc/x" is an absolute name'],
    [
      'a name that is too long',
      [paxHeader({ path: 'x/'.repeat(3000) }), file('a')],
      'has a name of 6000 bytes',
    ],
    [
      'a script',
      [file('.post-install')],
      '".post-install" is a script or .PKGINFO outside the control member',
    ],
    ['a .PKGINFO', [file('.PKGINFO')], 'is a script or .PKGINFO outside'],
    [
      'a file below a symlink',
      [symlink('usr/lib', '/etc'), file('usr/lib/passwd')],
      '"usr/lib/passwd" lies below "usr/lib", a symlink of the same package',
    ],
    [
      'a file far below a symlink',
      [symlink('usr', '/etc'), file('usr/a/b/c')],
      'lies below "usr", a symlink of the same package',
    ],
    [
      'a directory below a symlink',
      [symlink('usr', 'etc'), directory('usr/a/')],
      'lies below "usr", a symlink',
    ],
    ['a link below a symlink', [symlink('usr', 'etc'), symlink('usr/a', 'b')], 'lies below "usr", a symlink'],
    ['a file below a file', [file('usr'), file('usr/a')], 'lies below "usr", a file'],
    [
      'a symlink in the place of a directory',
      [file('usr/a'), symlink('usr', '/etc')],
      '"usr" is in the package twice',
    ],
    [
      'a directory in the place of a symlink',
      [symlink('usr', '/etc'), directory('usr/')],
      '"usr/" is in the package twice',
    ],
    ['a file twice', [file('a'), file('a')], '"a" is in the package twice'],
    ['a file and a link of one name', [file('a'), hardlink('a', 'a')], '"a" is in the package twice'],
    [
      'an absolute hard link',
      [hardlink('a', '/etc/shadow')],
      '"a" is a hard link to the absolute name "/etc/shadow"',
    ],
    [
      'a hard link that climbs',
      [hardlink('a', '../etc/shadow')],
      '"a" is a hard link that climbs: "../etc/shadow"',
    ],
    [
      'a hard link to a file outside of the package',
      [hardlink('a', 'etc/shadow')],
      'is a hard link to "etc/shadow", which is no file of the package before it',
    ],
    ['a hard link to a later file', [hardlink('a', 'b'), file('b')], 'is no file of the package before it'],
    [
      'a hard link to a symlink',
      [symlink('s', '/etc/shadow'), hardlink('a', 's')],
      'is no file of the package before it',
    ],
    [
      'a hard link to a directory',
      [directory('d/'), hardlink('a', 'd')],
      'is no file of the package before it',
    ],
    [
      'a hard link that PAX turns elsewhere',
      [file('b'), paxHeader({ linkpath: 'etc/shadow' }), hardlink('a', 'b')],
      'is a hard link to "etc/shadow"',
    ],
    [
      'a symlink that climbs out',
      [symlink('usr/a', '../../etc')],
      '"usr/a" is a symlink that leaves the tree: "../../etc"',
    ],
    ['a symlink that climbs out later', [symlink('usr/a', 'b/../../../etc')], 'leaves the tree'],
    ['an absolute symlink that climbs', [symlink('usr/a', '/../etc')], 'leaves the tree'],
    ['a symlink to nothing', [symlink('a', '')], 'is a symlink to nothing'],
    ['a character device', [{ path: 'dev/mem', type: '3' }], '"dev/mem" is a device node'],
    ['a block device', [{ path: 'dev/sda', type: '4' }], '"dev/sda" is a device node'],
    ['a fifo', [{ path: 'run/x', type: '6' }], '"run/x" is a fifo'],
    ['a contiguous file', [file('a', { type: '7' })], '"a" in its archive has the unknown type "7"'],
    ['an entry of the old format', [file('a', { type: '\0' })], 'has the unknown type "\\u0000"'],
    ['a socket of star', [file('a', { type: 's' })], 'has the unknown type "s"'],
    ['a sparse file', [file('a', { type: 'S' })], 'has the unknown type "S"'],
    [
      'a sparse file in PAX',
      [paxHeader({ 'GNU.sparse.name': '/etc/x' }), file('a')],
      'is stored as a sparse file',
    ],
    ['a setuid file', [file('usr/bin/su', { mode: 0o4755 })], '"usr/bin/su" brings the setuid or setgid bit'],
    ['a setgid file', [file('usr/bin/su', { mode: 0o2755 })], 'brings the setuid or setgid bit'],
    [
      'a file capability',
      [paxHeader({ 'SCHILY.xattr.security.capability': '\u0001\0\0\u0002' }), file('ping')],
      '"ping" brings the extended attribute "security.capability"',
    ],
    [
      "an overlay's attribute",
      [paxHeader({ 'SCHILY.xattr.trusted.overlay.opaque': 'y' }), directory('etc/')],
      'brings the extended attribute "trusted.overlay.opaque"',
    ],
    [
      'a GNU long link, which apk would cut',
      [longName('x'.repeat(200), 'K'), symlink('a', 'x')],
      'has a GNU long link name',
    ],
    [
      'a file with a link target, which apk would link',
      [file('b'), paxHeader({ linkpath: 'b' }), file('a')],
      '"a" in its archive is a file, but names a link target',
    ],
    [
      'a header with a link target on a file',
      [file('a', { link: '/etc/shadow' })],
      'is a file, but names a link target',
    ],
    [
      'a directory with content',
      [{ path: 'd/', type: '5', content: 'x' }],
      'is a directory, but has content',
    ],
    [
      'a hard link with content',
      [file('b'), { ...hardlink('a', 'b'), content: 'x' }],
      'is a hard link, but has content',
    ],
    ['two sizes', [paxHeader({ size: '600' }), file('a')], '"a" in its archive states two sizes'],
    [
      'two extended headers',
      [paxHeader({ path: 'a' }), paxHeader({ path: 'b' }), file('c')],
      'has more than one extended header',
    ],
    [
      'a PAX and a GNU name',
      [paxHeader({ path: 'a' }), longName('b'), file('c')],
      'has more than one extended header',
    ],
    [
      'a GNU name and a prefix',
      [longName('b'), file('c', { prefix: 'd' })],
      '"b" in its archive has two names',
    ],
    [
      'names for all entries',
      [paxHeader({ path: '/etc/x' }, 'g'), file('a')],
      'a global header in its archive states "path"',
    ],
    [
      'a PAX record that is too long',
      [rawTarEntry({ path: 'x', type: 'x', content: '99 path=a\n' }), file('a')],
      'an extended header in its archive is damaged',
    ],
    [
      'a PAX record without an end',
      [rawTarEntry({ path: 'x', type: 'x', content: '9 path=ab' }), file('a')],
      'an extended header in its archive is damaged',
    ],
    [
      'PAX records without a length',
      [rawTarEntry({ path: 'x', type: 'x', content: 'path=ab\n' }), file('a')],
      'an extended header in its archive is damaged',
    ],
    [
      'a PAX record without a name',
      [rawTarEntry({ path: 'x', type: 'x', content: '5 =a\n' }), file('a')],
      'an extended header in its archive is damaged',
    ],
    [
      'a PAX header that is too long',
      [paxHeader({ comment: 'x'.repeat(2 ** 20) }), file('a')],
      'an extended header in its archive is too long',
    ],
    [
      'a link that is too long',
      [paxHeader({ linkpath: 'x'.repeat(5000) }), symlink('a', 'x')],
      '"a" in its archive has a link target of 5000 bytes',
    ],
    [
      'a file that lies too deep',
      [paxHeader({ path: 'x/'.repeat(129) + 'x' }), file('a')],
      'lies below more than 128 directories',
    ],
    [
      'more directories than memory should hold',
      Array.from({ length: 8000 }, (_, index) => [
        paxHeader({ path: `${index}${'/x'.repeat(127)}` }),
        rawTarEntry(file('a')),
      ]).flat(),
      'it has more than 1000000 files and directories',
    ],
    [
      'a PAX record twice',
      [rawTarEntry({ path: 'x', type: 'x', content: '9 path=a\n9 path=b\n' }), file('c')],
      'states path twice',
    ],
    ['a wrong checksum', [file('a', { checksum: 1234 })], 'a header in its archive has a wrong checksum'],
    ['another format', [file('a', { magic: '\0\0\0\0\0\0\0\0' })], 'is not of the ustar format'],
    [
      'times in the place of a prefix',
      [file('a', { magic: 'ustar  \0', prefix: '14522503625' })],
      "a header of GNU's incremental format",
    ],
    [
      'a size in binary',
      [file('a', { size: '\u0080\0\0\0\0\0\0\0\0\0\0\u0001' })],
      'has a header with a bad number',
    ],
    ['a size behind blanks', [file('a', { size: '         1\0\0' })], 'has a header with a bad number'],
    ['a size beyond its end', [file('a', { size: 100_000 })], 'its archive is cut off'],
    ['an extended header for nothing', [paxHeader({ path: 'a' })], 'its archive is cut off'],
    ['entries behind its end', [file('a'), tarEnd, file('b')], 'its archive goes on behind its end marker'],
    [
      'entries behind half an end',
      [file('a'), Buffer.alloc(512), file('b')],
      'its archive goes on behind its end marker',
    ],
  ])('is refused where it has %s', (_, entries, reason) => {
    const error = refusalOf(() => verify(entries));
    expect(error.code).toBe('package');
    expect(error.message).toContain('Cannot use tree-1.0-r0: ');
    expect(error.message).toContain(reason);
  });

  it('is refused where it is cut off: in a header, in a file, before its end', () => {
    const whole = Buffer.concat([rawTarEntry(file('a', { content: 'x'.repeat(700) })), tarEnd]);
    for (const length of [0, 1, 511, 512, 513, 1024, 1300, 1536, 1537, 2048]) {
      const reason = refusalOf(() => verify([], [], whole.subarray(0, length))).message;
      expect(reason).toContain('its archive is cut off');
    }
    expect(verify([], [], whole)).toMatchObject({ name: 'tree' });
  });

  it('may bring the setuid bit, the setgid bit and capabilities where the base says so', () => {
    const su = file('usr/bin/su', { mode: 0o6755 });
    const capability = paxHeader({ 'SCHILY.xattr.security.capability': 'x' });
    const entries = [su, hardlink('usr/bin/sg', 'usr/bin/su'), capability, file('usr/bin/ping')];
    const listed = ['usr/bin/su', 'usr/bin/sg', 'usr/bin/ping'];
    expect(verify(entries, listed)).toMatchObject({ name: 'tree' });
    for (const missing of listed) {
      const rest = listed.filter((path) => path !== missing);
      const error = refusalOf(() => verify(entries, rest));
      expect(error.message).toContain(`"${missing}" brings`);
      expect(error.hint).toContain(`add "/${missing}" to \`setuid\``);
    }
  });

  it('does not pass the setuid bit on through a chain of hard links', () => {
    const entries = [file('su', { mode: 0o4755 }), hardlink('b', 'su'), hardlink('c', 'b')];
    expect(refusalOf(() => verify(entries, ['su', 'b'])).message).toContain(
      '"c" brings the setuid or setgid bit of "b", to which it is a hard link',
    );
  });
});
