import { execFileSync } from 'node:child_process';
import { appendFileSync, copyFileSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Recipe } from '../../src/model.ts';
import type { PackageOptions } from '../../src/packages/backend.ts';
import { debBackend } from '../../src/packages/deb/backend.ts';
import type { DebRequest } from '../helpers/debs.ts';
import { buildDate, buildDeb, indexDebs, mirrorLine } from '../helpers/debs.ts';
import { errorOf, temporaryDirectory, temporaryHost } from '../helpers/host.ts';
import { recipe } from '../helpers/trees.ts';

const origin = { layer: 'service/web', file: '/overlays/service/web/packages.list', line: 3 };

const asking = (names: readonly string[], provided: readonly string[] = []): Recipe =>
  recipe({
    packages: names.map((name) => ({ name, origin })),
    provided: provided.map((name) => ({ name, origin })),
  });

/** A repository of small packages, and a Host that takes packages from nowhere else. */
function archive(debs: readonly DebRequest[]) {
  const directory = temporaryDirectory();
  const publish = (requests: readonly DebRequest[]): void => {
    for (const name of readdirSync(directory)) rmSync(join(directory, name));
    for (const request of requests) buildDeb(directory, request);
    indexDebs(directory);
  };
  publish(debs);
  const host = temporaryHost();
  const options: PackageOptions = { mirrors: [mirrorLine(directory)], offline: false, refresh: false };
  const resolve = (wanted: Recipe, more: Partial<PackageOptions> = {}) =>
    debBackend.resolve(host, wanted, { ...options, ...more });
  const fetch = async (wanted: Recipe, more: Partial<PackageOptions> = {}) =>
    debBackend.fetch(host, await resolve(wanted), wanted, { ...options, ...more });
  const store = join(host.workspace.cache, 'packages');
  const apt = () => join(host.workspace.cache, 'apt', readdirSync(join(host.workspace.cache, 'apt'))[0]!);
  return { directory, publish, host, options, resolve, fetch, store, apt };
}

const web: DebRequest = { name: 'web', version: '1:2.0+b1~rc1-1', depends: 'libweb (>= 1), base' };
const all: DebRequest[] = [web, { name: 'libweb', version: '1.5' }, { name: 'base' }, { name: 'other' }];

describe('resolving', () => {
  it('adds what the packages depend on, and nothing else', async () => {
    const { resolve, directory } = archive(all);
    const lock = await resolve(asking(['web']));
    expect(lock.packages.map(({ name, version }) => `${name} ${version}`)).toEqual([
      'base 1.0',
      'libweb 1.5',
      'web 1:2.0+b1~rc1-1',
    ]);
    expect(lock.packages[2]).toMatchObject({
      architecture: 'amd64',
      checksum: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
    });
    expect(lock.packages[2]!.source).toContain(directory);
  });

  it('leaves out what is provided otherwise, for versioned dependencies too', async () => {
    const { resolve } = archive(all);
    const lock = await resolve(asking(['web'], ['base', 'libweb']));
    expect(lock.packages.map(({ name }) => name)).toEqual(['web']);
  });

  it('names each package that does not exist, with file and line that asked for it', async () => {
    const error = await errorOf(archive(all).resolve(asking(['web', 'wbe', 'nothing-such'])));
    expect(error.code).toBe('package');
    expect(error.message).toBe(
      `Cannot install wbe (asked for by ${origin.file}:3), nothing-such (asked for by ${origin.file}:3): Debian GNU/Linux 12 has no such package`,
    );
  });

  it('shows why packages do not fit together', async () => {
    const { resolve } = archive([{ name: 'web', depends: 'libweb (>= 9)' }, { name: 'libweb' }]);
    const error = await errorOf(resolve(asking(['web'])));
    expect(error.code).toBe('package');
    expect(error.message).toContain('they do not fit together');
    expect(error.output).toMatch(/web : Depends: libweb \(>= 9\)/);
  });

  it('gives the same digest again, and another one exactly when a package changes', async () => {
    const { resolve, publish } = archive(all);
    const wanted = asking(['web']);
    const first = await resolve(wanted);
    expect((await resolve(wanted, { refresh: true })).digest).toBe(first.digest);
    publish([...all, { name: 'unrelated' }]);
    expect((await resolve(wanted, { refresh: true })).digest).toBe(first.digest);
    publish([web, { name: 'libweb', version: '1.6' }, { name: 'base' }]);
    const changed = await resolve(wanted, { refresh: true });
    expect(changed.packages.find(({ name }) => name === 'libweb')!.version).toBe('1.6');
    expect(changed.digest).not.toBe(first.digest);
  });

  it('notices a package that was built anew under the same version', async () => {
    const { resolve, publish } = archive([{ name: 'base' }]);
    const first = await resolve(asking(['base']));
    publish([{ name: 'base', files: { 'usr/share/base': 'built anew\n' } }]);
    const second = await resolve(asking(['base']), { refresh: true });
    expect(second.packages[0]!.checksum).not.toBe(first.packages[0]!.checksum);
    expect(second.digest).not.toBe(first.digest);
  });

  it('lists a package whose file an interrupted download left behind', async () => {
    const { resolve, directory, apt } = archive(all);
    await resolve(asking(['other']));
    copyFileSync(join(directory, 'base_1.0_amd64.deb'), join(apt(), 'archives/base_1.0_amd64.deb'));
    const lock = await resolve(asking(['web']));
    expect(lock.packages.map(({ name }) => name)).toEqual(['base', 'libweb', 'web']);
  });

  it('resolves to nothing where nothing is asked for', async () => {
    expect((await archive(all).resolve(asking([]))).packages).toEqual([]);
  });

  it('says which package lists could not be had, and how to build without them', async () => {
    const host = temporaryHost();
    const error = await errorOf(
      debBackend.resolve(host, asking(['web']), {
        mirrors: [mirrorLine('/nonexistent')],
        offline: false,
        refresh: false,
      }),
    );
    expect(error.code).toBe('network');
    expect(error.message).toContain('/nonexistent');
    expect(error.hint).toContain('--offline');
    expect(error.output).not.toBe('');
  });

  it('cannot work offline without package lists, and can with them', async () => {
    const { resolve } = archive(all);
    const error = await errorOf(resolve(asking(['web']), { offline: true }));
    expect(error.code).toBe('network');
    expect(error.message).toBe(
      'Cannot build treeline/debian-12/x86_64/vm offline: this workspace has no package lists yet',
    );
    expect(error.hint).toContain('without --offline');
    await resolve(asking(['web']));
    expect((await resolve(asking(['other']), { offline: true })).packages).toHaveLength(1);
  });

  it('takes a directory in place of a URL for a mirror, and says so where it is none', async () => {
    const { resolve, directory } = archive(all);
    const error = await errorOf(resolve(asking(['web']), { mirrors: [directory] }));
    expect(error.code).toBe('network');
    expect(error.message).toContain(`deb file:${directory} bookworm main`);
  });

  it('touches nothing of this machine’s own apt and dpkg', async () => {
    const state = (): string =>
      execFileSync(
        'find',
        [
          '/var/lib/apt',
          '/var/lib/dpkg',
          '/var/cache/apt',
          '/etc/apt',
          '-printf',
          String.raw`%p %T@ %C@ %s\n`,
        ],
        {
          encoding: 'utf8',
          maxBuffer: 1 << 28,
        },
      );
    const before = state();
    const { fetch } = archive(all);
    await fetch(asking(['web']));
    expect(state()).toBe(before);
  });
});

describe('fetching', () => {
  it('keeps each package by its checksum, and knows when the newest was built', async () => {
    const { fetch, store } = archive(all);
    const set = await fetch(asking(['web']));
    expect(set.files.map((file) => file.path)).toEqual(
      set.lock.packages.map(({ checksum }) => join(store, `${checksum.slice('sha256:'.length)}.deb`)),
    );
    expect(readdirSync(store)).toHaveLength(3);
    expect(set.newest).toBe(buildDate);
  });

  it('works offline once the packages are there, the mirror gone', async () => {
    const { fetch, directory, host, options, resolve } = archive(all);
    await fetch(asking(['web']));
    const lock = await resolve(asking(['web']));
    rmSync(directory, { recursive: true });
    const set = await debBackend.fetch(host, lock, asking(['web']), { ...options, offline: true });
    expect(set.files).toHaveLength(3);
  });

  it('names what the cache lacks when offline', async () => {
    const { fetch } = archive(all);
    const error = await errorOf(fetch(asking(['web']), { offline: true }));
    expect(error.code).toBe('network');
    expect(error.message).toBe(
      'Cannot build offline: the cache lacks base 1.0, libweb 1.5, web 1:2.0+b1~rc1-1',
    );
  });

  it('fetches a damaged package again', async () => {
    const { fetch } = archive(all);
    const wanted = asking(['web']);
    const { files } = await fetch(wanted);
    const good = readFileSync(files[0]!.path);
    appendFileSync(files[0]!.path, 'x');
    const damaged = await errorOf(fetch(wanted, { offline: true }));
    expect(damaged.message).toContain('base 1.0');
    await fetch(wanted);
    expect(readFileSync(files[0]!.path).equals(good)).toBe(true);
  });

  it('refuses a package that is not what the index says, and keeps nothing of it', async () => {
    const { resolve, directory, host, options, store, apt } = archive(all);
    const wanted = asking(['web']);
    const lock = await resolve(wanted);
    const file = join(directory, 'libweb_1.5_amd64.deb');
    const bytes = readFileSync(file);
    bytes[bytes.length - 600]! ^= 1;
    writeFileSync(file, bytes);
    const error = await errorOf(debBackend.fetch(host, lock, wanted, options));
    expect(['package', 'network']).toContain(error.code);
    expect(`${error.message} ${error.output}`).toContain('libweb');
    const { checksum } = lock.packages.find(({ name }) => name === 'libweb')!;
    expect(readdirSync(store)).not.toContain(`${checksum.slice('sha256:'.length)}.deb`);
    expect(readdirSync(join(apt(), 'archives')).filter((name) => name.startsWith('libweb'))).toEqual([]);
  });

  it('refuses a package whose lock names another checksum than the archive', async () => {
    const { resolve, host, options, store } = archive(all);
    const wanted = asking(['base']);
    const lock = await resolve(wanted);
    const other = {
      ...lock,
      packages: lock.packages.map((entry) => ({ ...entry, checksum: `sha256:${'f'.repeat(64)}` })),
    };
    const error = await errorOf(debBackend.fetch(host, other, wanted, options));
    expect(error.code).toBe('package');
    expect(error.message).toMatch(/^Cannot use base 1\.0 from .*: its SHA-256 is [0-9a-f]{64}, not f{64}$/);
    expect(readdirSync(store)).toEqual([]);
  });

  it('says from where a package could not be fetched', async () => {
    const { resolve, directory, host, options } = archive(all);
    const wanted = asking(['web']);
    const lock = await resolve(wanted);
    rmSync(join(directory, 'base_1.0_amd64.deb'));
    const error = await errorOf(debBackend.fetch(host, lock, wanted, options));
    expect(error.code).toBe('network');
    expect(error.message).toContain('Cannot fetch 3 packages');
    expect(error.output).toContain('base');
  });
});
