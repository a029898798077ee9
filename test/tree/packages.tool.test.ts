import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { sha256 } from '../../src/host/files.ts';
import type { LockedPackage, PackageSet, Recipe } from '../../src/model.ts';
import { openRepository } from '../../src/ostree/repository.ts';
import { makeLock } from '../../src/packages/lock.ts';
import { removeMatches } from '../../src/tree/packages.ts';
import type { DebRequest } from '../helpers/debs.ts';
import { buildDeb } from '../helpers/debs.ts';
import { temporaryDirectory, temporaryHost } from '../helpers/host.ts';
import { layOutPackages } from '../helpers/lay-out.ts';
import { emptyLock, layFiles, recipe } from '../helpers/trees.ts';

async function laidOut(debs: readonly DebRequest[]) {
  const host = temporaryHost();
  await openRepository(host);
  const files = debs.map((request) => {
    const path = buildDeb(join(host.workspace.root, 'debs'), request);
    const bytes = readFileSync(path);
    const entry: LockedPackage = {
      name: request.name,
      version: '1.0',
      architecture: 'amd64',
      source: 'file:x',
      size: bytes.length,
      checksum: `sha256:${sha256(bytes)}`,
    };
    return { package: entry, path };
  });
  const packages: PackageSet = {
    lock: makeLock(emptyLock.distribution, { packages: files.map((file) => file.package) }),
    files,
    newest: 0,
  };
  const directory = join(host.workspace.temporary, 'root');
  mkdirSync(host.workspace.temporary, { recursive: true });
  const layOut = async (wanted: Recipe, writable = false): Promise<string> => {
    rmSync(directory, { recursive: true, force: true });
    await layOutPackages(host, { recipe: wanted, packages, directory, writable });
    return directory;
  };
  const fsck = (): Buffer =>
    execFileSync('ostree', [`--repo=${host.workspace.repository}`, 'fsck', '--quiet'], { stdio: 'pipe' });
  return { host, layOut, fsck, directory };
}

const excluding = (...exclude: string[]): Recipe => recipe({ settings: { exclude } });

describe('laying out packages', () => {
  it('moves everything under /usr, hard links and links too, with modes as they are', async () => {
    const { layOut, fsck } = await laidOut([
      {
        name: 'tools',
        files: {
          'bin/tool': 'program\n',
          'sbin/daemon': 'daemon\n',
          'lib/x/lib.so': 'lib\n',
          'etc/tool.conf': 'conf\n',
        },
        prepare: (root) => {
          linkSync(join(root, 'bin/tool'), join(root, 'bin/alias'));
          symlinkSync('tool', join(root, 'bin/link'));
          chmodSync(join(root, 'sbin/daemon'), 0o4755);
        },
      },
    ]);
    const root = await layOut(recipe());
    expect(existsSync(join(root, 'bin'))).toBe(false);
    expect(readFileSync(join(root, 'usr/bin/tool'), 'utf8')).toBe('program\n');
    expect(readFileSync(join(root, 'usr/bin/alias'), 'utf8')).toBe('program\n');
    expect(readlinkSync(join(root, 'usr/bin/link'))).toBe('tool');
    expect(statSync(join(root, 'usr/sbin/daemon')).mode & 0o7777).toBe(0o4755);
    expect(readFileSync(join(root, 'usr/lib/x/lib.so'), 'utf8')).toBe('lib\n');
    expect(lstatSync(join(root, 'etc/tool.conf')).isFile()).toBe(true);
    fsck();
  });

  it('merges directories that several packages share', async () => {
    const { layOut } = await laidOut([
      { name: 'a', files: { 'lib/shared/a': 'a\n' } },
      { name: 'b', files: { 'usr/lib/shared/b': 'b\n' } },
    ]);
    const root = await layOut(recipe());
    expect([
      readFileSync(join(root, 'usr/lib/shared/a'), 'utf8'),
      readFileSync(join(root, 'usr/lib/shared/b'), 'utf8'),
    ]).toEqual(['a\n', 'b\n']);
  });

  it('unpacks each package once: another selection of files costs no package', async () => {
    const { host, layOut } = await laidOut([{ name: 'a' }, { name: 'b' }]);
    await layOut(recipe());
    const unpacked = (): number =>
      readFileSync(host.log.path, 'utf8').split('--branch=cache/package/').length - 1;
    expect(unpacked()).toBe(2);
    await layOut(excluding('usr/share/a'));
    await layOut(recipe());
    expect(unpacked()).toBe(2);
  });

  it('leaves out what the recipe excludes, and a tree laid out before is whole again without that', async () => {
    const { layOut, fsck } = await laidOut([
      { name: 'a', files: { 'usr/share/doc/a/copyright': 'x', 'usr/bin/a': 'x' } },
    ]);
    const root = await layOut(excluding('usr/share/doc'));
    expect([existsSync(join(root, 'usr/share/doc')), existsSync(join(root, 'usr/bin/a'))]).toEqual([
      false,
      true,
    ]);
    await layOut(recipe());
    expect(existsSync(join(root, 'usr/share/doc/a/copyright'))).toBe(true);
    fsck();
  });

  it('does not take a merge that was interrupted before the exclusion for a finished one', async () => {
    const { host, layOut, directory } = await laidOut([
      { name: 'a', files: { 'usr/share/doc/a/copyright': 'x', 'usr/bin/a': 'x' } },
    ]);
    // Breaks off where the merged packages are to be checked out.
    const config = join(host.workspace.repository, 'config');
    const intact = readFileSync(config, 'utf8');
    mkdirSync(join(directory, '..'), { recursive: true });
    const run = host.run;
    let broken = false;
    const interrupted = {
      ...host,
      run: (command: Parameters<typeof run>[0]) => {
        if (command.args.includes('checkout') && !broken) {
          broken = true;
          return Promise.reject(new Error('killed'));
        }
        return run(command);
      },
    };
    const files = await packagesOf(host, directory);
    await expect(
      layOutPackages(interrupted, { ...files, recipe: excluding('usr/share/doc') }),
    ).rejects.toThrow('killed');
    expect(readFileSync(config, 'utf8')).toBe(intact);
    const root = await layOut(excluding('usr/share/doc'));
    expect(existsSync(join(root, 'usr/share/doc'))).toBe(false);
  });

  it('gives a copy that may be written into, or hard links', async () => {
    const { layOut, fsck } = await laidOut([{ name: 'a' }]);
    const root = await layOut(recipe(), true);
    expect(statSync(join(root, 'usr/share/a')).nlink).toBe(1);
    writeFileSync(join(root, 'usr/share/a'), 'changed');
    fsck();
    await layOut(recipe(), false);
    expect(statSync(join(root, 'usr/share/a')).nlink).toBeGreaterThan(1);
    expect(readFileSync(join(root, 'usr/share/a'), 'utf8')).toBe('a 1.0\n');
  });
});

async function packagesOf(host: ReturnType<typeof temporaryHost>, directory: string) {
  const path = join(host.workspace.root, 'debs/a_1.0_amd64.deb');
  const bytes = readFileSync(path);
  const entry: LockedPackage = {
    name: 'a',
    version: '1.0',
    architecture: 'amd64',
    source: 'file:x',
    size: bytes.length,
    checksum: `sha256:${sha256(bytes)}`,
  };
  const packages: PackageSet = {
    lock: makeLock(emptyLock.distribution, { packages: [entry] }),
    files: [{ package: entry, path }],
    newest: 0,
  };
  return { packages, directory, writable: false };
}

describe('removing what globs match', () => {
  it('takes hidden names, whole directories, links as links, and leaves the rest', async () => {
    const outside = layFiles(temporaryDirectory(), { kept: '' });
    const root = layFiles(temporaryDirectory(), {
      'usr/share/doc/a/copyright': '',
      'usr/share/doc/.hidden': '',
      'usr/share/docs': '',
      'usr/share/locale/de/x.mo': '',
      'usr/share/locale/en/x.mo': '',
      'usr/link': { link: outside },
      'usr/lib/a.a': '',
      'usr/lib/.b.a': '',
      'usr/lib/a.so': '',
    });
    await removeMatches(root, ['usr/share/doc', 'usr/share/locale/!(en)', 'usr/link', '**/*.a']);
    const left = execFileSync('find', ['.', '!', '-type', 'd'], { cwd: root, encoding: 'utf8' })
      .trim()
      .split('\n')
      .toSorted();
    expect(left).toEqual(['./usr/lib/a.so', './usr/share/docs', './usr/share/locale/en/x.mo']);
    expect(existsSync(join(outside, 'kept'))).toBe(true);
  });

  it('removes nothing where nothing matches', async () => {
    const root = layFiles(temporaryDirectory(), { 'a/b': '' });
    await removeMatches(root, []);
    await removeMatches(root, ['b', 'a/c/**']);
    expect(existsSync(join(root, 'a/b'))).toBe(true);
  });
});
