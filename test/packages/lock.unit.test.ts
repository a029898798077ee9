import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Lock, LockedPackage } from '../../src/model.ts';
import { parseUris } from '../../src/packages/deb/resolve.ts';
import { formatLocks, makeLock, readLock, readLocks } from '../../src/packages/lock.ts';
import { resolvePackages, requireVendoring } from '../../src/packages/packages.ts';
import { errorOf, temporaryDirectory, temporaryHost } from '../helpers/host.ts';
import { emptyLock, recipe } from '../helpers/trees.ts';

const { distribution } = emptyLock;
const entry = (parts: Partial<LockedPackage> = {}): LockedPackage => ({
  name: 'busybox-static',
  version: '1:1.35.0-4+b3',
  architecture: 'amd64',
  source: 'http://mirror/pool/b.deb',
  size: 100,
  checksum: `sha256:${'a'.repeat(64)}`,
  ...parts,
});

describe('what apt-get --print-uris says', () => {
  it('gives name, version with its epoch, architecture, source, size and SHA-256', () => {
    const line = `'http://mirror/pool/b/busybox-static_1.35.0-4%2bb3_amd64.deb' busybox-static_1%3a1.35.0-4+b3_amd64.deb 884132 SHA256:${'b'.repeat(64)}`;
    expect(parseUris(`${line}\n`)).toEqual([
      {
        name: 'busybox-static',
        version: '1:1.35.0-4+b3',
        architecture: 'amd64',
        source: 'http://mirror/pool/b/busybox-static_1.35.0-4%2bb3_amd64.deb',
        size: 884_132,
        checksum: `sha256:${'b'.repeat(64)}`,
      },
    ]);
  });

  it('is refused for a package without SHA-256', () => {
    const line = "'http://mirror/a.deb' a_1_amd64.deb 7 MD5Sum:abc";
    expect(() => parseUris(line)).toThrow('Cannot use a from http://mirror/a.deb: its index has no SHA-256');
  });

  it('passes over lines that are no package', () => {
    expect(parseUris("Reading package lists...\n\n'http://mirror/InRelease' x_InRelease 0\n")).toEqual([]);
  });
});

const lockOf = (...packages: LockedPackage[]) => makeLock(distribution, { packages });

describe('a lock', () => {
  it('is sorted by name whatever order it was given in', () => {
    const [a, b] = [entry({ name: 'a' }), entry({ name: 'b' })];
    expect(lockOf(b, a)).toEqual(lockOf(a, b));
    expect(lockOf(b, a).packages).toEqual([a, b]);
    expect(makeLock(distribution, { packages: [], tools: [b, a] }).tools).toEqual([a, b]);
  });

  it.each(['name', 'version', 'architecture', 'checksum'] as const)(
    'has another digest where a %s differs',
    (field) => {
      expect(lockOf(entry({ [field]: 'other' })).digest).not.toBe(lockOf(entry()).digest);
    },
  );

  it('has another digest where a tool differs, or is a package of the tree', () => {
    const digests = [
      makeLock(distribution, { packages: [entry()] }),
      makeLock(distribution, { packages: [entry()], tools: [entry()] }),
      makeLock(distribution, { packages: [entry()], tools: [entry({ version: '2' })] }),
      makeLock(distribution, { packages: [], tools: [entry()] }),
    ].map(({ digest }) => digest);
    expect(new Set(digests).size).toBe(4);
  });

  it('has the same digest from another mirror', () => {
    expect(lockOf(entry({ source: 'http://elsewhere/b.deb' })).digest).toBe(lockOf(entry()).digest);
  });
});

const apkChecksum = `Q1${'ab+/'.repeat(6)}abc=`;
const apkEntry = (parts: Partial<LockedPackage> = {}): LockedPackage =>
  entry({
    name: 'musl',
    version: '1.2.4_git20230717-r4',
    architecture: 'x86_64',
    source: 'main',
    checksum: apkChecksum,
    ...parts,
  });

describe('a lock file', () => {
  const ref = recipe().ref;
  const fileOf = (text: string): string => {
    const path = join(temporaryDirectory(), 'treeline.lock.json');
    writeFileSync(path, text);
    return path;
  };
  const written = (lock = lockOf(entry())): string => formatLocks(new Map([[ref, lock]]));
  /** A file in which one thing was changed by hand. */
  const changed = (change: (image: Record<string, never>) => void): string => {
    const data = JSON.parse(written()) as { images: Record<string, Record<string, never>> };
    change(data.images[ref]!);
    return fileOf(JSON.stringify(data));
  };

  it.each([
    ['no packages', lockOf()],
    ['one package', lockOf(entry())],
    [
      'packages and tools',
      makeLock(distribution, { packages: [entry(), entry({ name: 'z' })], tools: [apkEntry()] }),
    ],
  ])('reads back as it was: %s', async (_, lock) => {
    const file = fileOf(written(lock));
    expect([...(await readLocks(file))]).toEqual([[ref, lock]]);
    expect(await readLock(file, recipe())).toEqual(lock);
    expect(formatLocks(await readLocks(file))).toBe(written(lock));
  });

  it('has the images by name and one line for a package, whatever order they were given in', () => {
    const [one, other] = [lockOf(entry()), lockOf(entry({ name: 'a' }), entry({ name: 'b' }))];
    const text = formatLocks(
      new Map([
        ['treeline/b', other],
        ['treeline/a', one],
      ]),
    );
    expect(text).toBe(
      formatLocks(
        new Map([
          ['treeline/a', one],
          ['treeline/b', other],
        ]),
      ),
    );
    expect(text.indexOf('"treeline/a"')).toBeLessThan(text.indexOf('"treeline/b"'));
    expect(text.split('\n').filter((line) => line.includes('"checksum"'))).toHaveLength(3);
  });

  it('is used in place of what the mirrors have', async () => {
    const lock = fileOf(written());
    const options = { mirrors: ['/nonexistent'], offline: true, refresh: false, lock };
    expect(await resolvePackages(temporaryHost(), recipe(), options)).toEqual(lockOf(entry()));
  });

  it.each<[string, () => string, RegExp]>([
    ['is not there', () => '/nonexistent/lock.json', /there is no such file/],
    ['is no JSON', () => fileOf('{'), /it is not JSON/],
    ['is empty', () => fileOf(''), /it is not JSON/],
    ['is cut off', () => fileOf(written().slice(0, -20)), /it is not JSON/],
    [
      'is of another format',
      () => fileOf(written().replace('"format": 1', '"format": 2')),
      /it has format 2, and this/,
    ],
    [
      'has a package twice',
      () => fileOf(written(lockOf(entry(), entry()))),
      /busybox-static stands in it twice/,
    ],
    [
      'has one field more',
      () => changed((image) => Object.assign(image, { more: 1 })),
      /images\.treeline.*more/,
    ],
    [
      'has another digest',
      () => changed((image) => Object.assign(image, { digest: 'f'.repeat(64) })),
      /the digest of treeline\/debian-12\/x86_64\/vm is not that of its packages/,
    ],
    [
      'has another size of a package',
      () => changed((image) => Object.assign(image, { packages: [entry({ size: 12 })] })),
      /is not that of its packages/,
    ],
    [
      'has a package more than its digest says',
      () => changed((image) => Object.assign(image, { packages: [entry(), entry({ name: 'evil' })] })),
      /the digest of/,
    ],
    ['has a package less', () => changed((image) => Object.assign(image, { packages: [] })), /the digest of/],
    [
      'has another version',
      () => changed((image) => Object.assign(image, { packages: [entry({ version: '2' })] })),
      /the digest of/,
    ],
    ...(
      [
        ['name', '../x'],
        ['name', '/etc/passwd'],
        ['name', ''],
        ['name', '-rf'],
        ['name', '.hidden'],
        ['version', '1/../../x'],
        ['version', '1 2'],
        ['version', '1\n2'],
        ['architecture', '../noarch'],
        ['checksum', 'Q1../../../../../../../../../etc='],
        ['checksum', 'sha256:../../x'],
        ['checksum', 'md5:abc'],
        ['size', 0],
        ['size', -1],
        ['size', 1.5],
        ['source', ''],
      ] as const
    ).map(
      ([field, value]) =>
        [
          `has the ${field} ${JSON.stringify(value)}`,
          () => fileOf(written(lockOf({ ...entry(), [field]: value } as LockedPackage))),
          new RegExp(`packages\\.0\\.${field}: `),
        ] as [string, () => string, RegExp],
    ),
  ])('is refused where it %s', async (_, file, reason) => {
    const path = file();
    const error = await errorOf(readLocks(path));
    expect(error.code).toBe('package');
    expect(error.message).toMatch(/^Cannot use the lock \//);
    expect(error.message).toContain(path);
    expect(error.message).toMatch(reason);
    expect(error.hint).toContain('npm run lock');
  });

  it('that has no packages of the image is refused with those that it has', async () => {
    const error = await errorOf(
      readLock(fileOf(written()), recipe({ ref: 'treeline/debian-12/x86_64/lxc' })),
    );
    expect(error.message).toContain('it has no packages of treeline/debian-12/x86_64/lxc');
    expect(error.hint).toContain('treeline/debian-12/x86_64/vm');
    expect(error.hint).toContain('npm run lock -- --target vm');
  });
});

describe('the lock of an image', () => {
  const ref = recipe().ref;
  const lockFile = (locks: Record<string, Lock>): string => {
    const path = join(temporaryDirectory(), 'treeline.lock.json');
    writeFileSync(path, formatLocks(new Map(Object.entries(locks))));
    return path;
  };

  it('of another base is told apart from none', async () => {
    const path = lockFile({ 'treeline/alpine-v3.19/x86_64/vm': lockOf(entry()) });
    const error = await errorOf(readLock(path, recipe()));
    expect(error.message).toContain(`it has no packages of ${ref}`);
    expect(error.hint).toContain('--base alpine-v3.19 uses that');
  });

  it('whose packages are of another distribution is refused', async () => {
    const path = lockFile({
      [ref]: makeLock({ ...distribution, release: '11' }, { packages: [entry()] }),
    });
    const error = await errorOf(readLock(path, recipe()));
    expect(error.message).toContain('its packages are of Debian GNU/Linux 11 (deb)');
  });
});

it('packages that are no mirror of their own cannot be vendored, and the base that can is named', () => {
  const refusal = (): void => requireVendoring([recipe()]);
  expect(refusal).toThrow(
    expect.objectContaining({
      code: 'usage',
      message:
        'Cannot vendor the packages of treeline/debian-12/x86_64/vm: Debian GNU/Linux has no such mirror',
      hint: expect.stringContaining('base alpine'),
    }),
  );
});
