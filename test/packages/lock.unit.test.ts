import { describe, expect, it } from 'vitest';
import type { LockedPackage } from '../../src/model.ts';
import { parseUris } from '../../src/packages/deb/resolve.ts';
import { formatLock, makeLock } from '../../src/packages/lock.ts';
import { fetchPackages, resolvePackages } from '../../src/packages/packages.ts';
import { temporaryHost } from '../helpers/host.ts';
import { emptyLock, recipe } from '../helpers/trees.ts';

const { distribution } = emptyLock;
const entry = (parts: Partial<LockedPackage> = {}): LockedPackage => ({
  name: 'busybox-static',
  version: '1:1.35.0-4+b3',
  architecture: 'amd64',
  source: 'http://mirror/pool/b.deb',
  size: 100,
  sha256: 'a'.repeat(64),
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
        sha256: 'b'.repeat(64),
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

describe('a lock', () => {
  it('is sorted by name whatever order it was given in', () => {
    const [a, b] = [entry({ name: 'a' }), entry({ name: 'b' })];
    expect(makeLock(distribution, [b, a])).toEqual(makeLock(distribution, [a, b]));
    expect(makeLock(distribution, [b, a]).packages).toEqual([a, b]);
  });

  it.each(['name', 'version', 'architecture', 'sha256'] as const)(
    'has another digest where a %s differs',
    (field) => {
      const changed = makeLock(distribution, [entry({ [field]: 'other' })]);
      expect(changed.digest).not.toBe(makeLock(distribution, [entry()]).digest);
    },
  );

  it('has the same digest from another mirror', () => {
    const other = makeLock(distribution, [entry({ source: 'http://elsewhere/b.deb' })]);
    expect(other.digest).toBe(makeLock(distribution, [entry()]).digest);
  });

  it.each([[[]], [[entry()]], [[entry(), entry({ name: 'z' })]]])(
    'is written as JSON that reads back',
    (packages) => {
      const lock = makeLock(distribution, packages);
      expect(JSON.parse(formatLock(lock))).toEqual({ distribution, digest: lock.digest, packages });
    },
  );
});

it('a base whose packages cannot be installed yet is refused with what to do', async () => {
  const alpine = recipe({
    distribution: { ...distribution, id: 'alpine', name: 'Alpine Linux', packages: 'apk' },
  });
  const options = { mirrors: [], offline: false, refresh: false };
  expect(() => resolvePackages(temporaryHost(), alpine, options)).toThrow('Cannot install Alpine Linux');
  expect(() => fetchPackages(temporaryHost(), emptyLock, alpine, options)).toThrow('not supported yet');
});
