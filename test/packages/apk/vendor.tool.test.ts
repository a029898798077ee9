import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { lockImages, lockName, vendorImages } from '../../../src/lock-images.ts';
import type { Architecture, Request, Target } from '../../../src/model.ts';
import type { BuildOptions } from '../../../src/options.ts';
import { readLocks } from '../../../src/packages/lock.ts';
import { fetchPackages, resolvePackages } from '../../../src/packages/packages.ts';
import { readRecipe } from '../../../src/recipe/recipe.ts';
import type { ApkRequest } from '../../helpers/apks.ts';
import { buildApk, makeKey, writeRepository } from '../../helpers/apks.ts';
import type { TemporaryHost } from '../../helpers/host.ts';
import { errorOf, temporaryDirectory, temporaryHost } from '../../helpers/host.ts';
import { layFiles } from '../../helpers/trees.ts';
import { cannotInstall, makeMirror, workspaceAt } from './alpine.ts';
import { differences, snapshot } from './snapshot.ts';
import { alpineDirectory } from '../../helpers/alpine-repository.ts';

/** Layers of a small Alpine: main, a repository with a key of its own, one with a tag. */
function makeLayers(): string {
  const root = layFiles(temporaryDirectory(), {
    'base/alpine/layer.yaml': [
      'release: v3.19',
      'distribution: {name: Alpine Linux, packages: apk, releases: [v3.*], architectures: {x86_64: x86_64}}',
      'repositories:',
      '  - {name: main}',
      '  - {name: extra, keys: [test@example.org-1.rsa.pub]}',
      '  - {name: testing, tag: testing, keys: [test@example.org-1.rsa.pub]}',
      '',
    ].join('\n'),
    'base/alpine/packages.list': 'busybox\nweb\n',
    'target/lxc/packages.list': 'new@testing\n',
  });
  const keys = join(root, 'base/alpine/keys');
  cpSync(join(alpineDirectory, 'keys/x86_64'), join(keys, 'x86_64'), { recursive: true });
  writeFileSync(join(keys, 'test@example.org-1.rsa.pub'), makeKey().publicPem);
  return root;
}

const extra: ApkRequest[] = [{ name: 'web', depends: ['libweb', 'zlib'] }, { name: 'libweb' }];

async function setUp() {
  const mirror = makeMirror();
  mirror.publish('extra', extra);
  mirror.publish('testing', [{ name: 'new' }, { name: 'web', version: '9-r0' }]);
  const layers = makeLayers();
  const { host } = await workspaceAt([]);
  const images = (
    targets: readonly Target[],
    packages: Partial<BuildOptions['packages']> = {},
  ): BuildOptions[] =>
    targets.map((target) => ({
      request: {
        overlays: layers,
        base: 'alpine',
        arch: 'x86_64' as Architecture,
        target,
        services: [],
        extraLayers: [],
      } satisfies Request,
      baseReason: '',
      packages: { mirrors: [mirror.directory], offline: false, refresh: false, ...packages },
      layout: '',
      sshKeys: [],
      updateUrl: '',
      keep: 3,
      flat: false,
      qcow2: false,
      epoch: undefined,
      force: false,
      explainCache: false,
      asked: {},
    }));
  const directory = join(temporaryDirectory(), 'kept');
  const vendor = (targets: readonly Target[] = ['vm'], packages: Partial<BuildOptions['packages']> = {}) =>
    vendorImages(host, images(targets, packages), directory);
  /** Resolves and fetches on a machine without network that has nothing but the directory. */
  const rebuild = async (elsewhere: TemporaryHost, target: Target = 'vm') => {
    const [image] = images([target], { mirrors: [directory], offline: true });
    const recipe = await readRecipe(image!.request);
    const lock = await resolvePackages(elsewhere, recipe, image!.packages);
    return { lock, set: await fetchPackages(elsewhere, lock, recipe, image!.packages) };
  };
  const withKeys = (): TemporaryHost => {
    const other = temporaryHost();
    cpSync(host.workspace.keys, other.workspace.keys, { recursive: true });
    return other;
  };
  return { mirror, layers, host, images, directory, vendor, rebuild, withKeys };
}

describe.skipIf(cannotInstall)(`vendoring (${cannotInstall ?? 'with Alpine’s own apk'})`, () => {
  it('keeps all that the same lock needs, on another machine without network', async () => {
    const { directory, vendor, rebuild, withKeys, mirror } = await setUp();
    const { packages } = await vendor(['vm', 'lxc']);
    expect(readdirSync(directory).toSorted()).toEqual(['keys', lockName, 'v3.19']);
    const kept = readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('.apk'),
    );
    expect(kept).toHaveLength(packages);
    rmSync(mirror.directory, { recursive: true });
    const written = await readLocks(join(directory, lockName));
    for (const target of ['vm', 'lxc'] as const) {
      const { lock, set } = await rebuild(withKeys(), target);
      expect(lock).toEqual(written.get(`treeline/alpine-v3.19/x86_64/${target}`));
      const names = lock.packages.map(({ name, source }) => `${name} ${source}`);
      expect(names).toContain('web extra');
      expect(names.includes('new testing')).toBe(target === 'lxc');
      await set.install!(join(temporaryDirectory(), 'root'));
    }
  });

  it('keeps a package for every architecture where apk looks for it, under the same lock', async () => {
    const { directory, vendor, rebuild, withKeys, mirror, host, images } = await setUp();
    // As `apk index` without --rewrite-arch makes it.
    const place = join(mirror.directory, 'v3.19/extra');
    rmSync(place, { recursive: true });
    const apks = extra.map((request) => buildApk({ ...request, arch: 'noarch' }, makeKey()));
    writeRepository(place, apks, makeKey(), { arch: 'noarch' });
    mkdirSync(join(place, 'x86_64'));
    renameSync(join(place, 'noarch/APKINDEX.tar.gz'), join(place, 'x86_64/APKINDEX.tar.gz'));
    await vendor();
    expect(existsSync(join(directory, 'v3.19/extra/noarch/web-1.0-r0.apk'))).toBe(true);
    const [image] = images(['vm']);
    const recipe = await readRecipe(image!.request);
    const original = await resolvePackages(host, recipe, image!.packages);
    const { lock, set } = await rebuild(withKeys());
    expect(lock).toEqual(original);
    expect(lock.packages.find(({ name }) => name === 'web')!.architecture).toBe('noarch');
    const root = join(temporaryDirectory(), 'root');
    await set.install!(root);
    expect(existsSync(join(root, 'usr/share/web'))).toBe(true);
  });

  it('keeps packages as they were published, and the keys that signed them', async () => {
    const { directory, vendor, mirror, host } = await setUp();
    await vendor();
    const file = 'v3.19/extra/x86_64/web-1.0-r0.apk';
    expect(readFileSync(join(directory, file)).equals(readFileSync(join(mirror.directory, file)))).toBe(true);
    const own = readdirSync(join(host.workspace.keys, 'apk')).find((name) => name.endsWith('.pub'))!;
    expect(readdirSync(join(directory, 'keys'))).toEqual(
      [...readdirSync(join(alpineDirectory, 'keys/x86_64')), own, makeKey().name].toSorted(),
    );
    expect(readFileSync(join(directory, 'keys', own), 'utf8')).toMatch(/^-----BEGIN PUBLIC KEY-----/);
    expect(readdirSync(join(directory, 'keys')).some((name) => name.endsWith('.rsa'))).toBe(false);
  });

  it('is of no use without the key of the workspace, and says which key that is', async () => {
    const { vendor, rebuild, directory, layers, host } = await setUp();
    await vendor();
    const own = readdirSync(join(host.workspace.keys, 'apk')).find((name) => name.endsWith('.pub'))!;
    const error = await errorOf(rebuild(temporaryHost()));
    expect(error.code).toBe('package');
    expect(error.message).toContain(`it is signed by ${own}, which is not among the`);
    expect(error.hint).toContain('put its file into the keys directory of the layer');
    // Which is what the hint says.
    const file = join(layers, 'base/alpine/layer.yaml');
    cpSync(join(directory, 'keys', own), join(layers, 'base/alpine/keys', own));
    writeFileSync(
      file,
      readFileSync(file, 'utf8')
        .replaceAll('1.rsa.pub]', `1.rsa.pub, ${own}]`)
        .replace(
          '{name: main}',
          `{name: main, keys: [${[own, ...readdirSync(join(alpineDirectory, 'keys/x86_64'))].map((name) => `'${name}'`).join(', ')}]}`,
        ),
    );
    expect((await rebuild(temporaryHost())).lock.packages.length).toBeGreaterThan(3);
  });

  it('is refused where a package or an index in it was changed', async () => {
    const { vendor, rebuild, directory, withKeys } = await setUp();
    await vendor();
    const change = (path: string): void => {
      const bytes = readFileSync(join(directory, path));
      bytes[bytes.length - 12]! ^= 1;
      writeFileSync(join(directory, path), bytes);
    };
    change('v3.19/extra/x86_64/libweb-1.0-r0.apk');
    const file = await errorOf(rebuild(withKeys()));
    expect([file.code, file.message]).toEqual([
      'package',
      expect.stringContaining('Cannot use libweb 1.0-r0 from extra'),
    ]);
    change('v3.19/main/x86_64/APKINDEX.tar.gz');
    expect((await errorOf(rebuild(withKeys()))).message).toContain('Cannot use the index of main');
  });

  it('again replaces what was there; the packages of a lock are those of the lock', async () => {
    const { vendor, mirror, directory, images, host } = await setUp();
    await vendor();
    const lock = join(temporaryDirectory(), 'lock.json');
    cpSync(join(directory, lockName), lock);
    mirror.publish('extra', [...extra, { name: 'libweb', version: '2.0-r0' }]);
    await vendor(['vm'], { lock });
    const names = (): string[] => readdirSync(join(directory, 'v3.19/extra/x86_64'));
    expect(names()).toContain('libweb-1.0-r0.apk');
    await vendorImages(host, images(['vm'], { refresh: true }), directory);
    expect(names()).toContain('libweb-2.0-r0.apk');
    expect(names()).not.toContain('libweb-1.0-r0.apk');
    expect(readdirSync(dirname(directory))).toEqual([basename(directory)]);
  });

  it('into a directory with anything else is refused, and nothing of that is touched', async () => {
    const { vendor, directory } = await setUp();
    const foreign: Parameters<typeof layFiles>[1][] = [
      { 'thesis.txt': 'x' },
      { [lockName]: '{}' },
      { [lockName]: 'not a lock', 'v3.19/x': '' },
    ];
    for (const files of foreign) {
      rmSync(directory, { recursive: true, force: true });
      layFiles(directory, files);
      const before = snapshot(directory);
      const error = await errorOf(vendor());
      expect([error.code, error.message]).toEqual([
        'usage',
        `Cannot vendor into ${directory}: it holds something else`,
      ]);
      expect(snapshot(directory)).toEqual(before);
    }
    rmSync(directory, { recursive: true });
    writeFileSync(directory, 'a file');
    expect((await errorOf(vendor())).code).toBe('usage');
    expect(readFileSync(directory, 'utf8')).toBe('a file');
  });

  it('one of two images again is refused: the packages of the other would be lost', async () => {
    const { directory, vendor } = await setUp();
    await vendor(['vm', 'lxc']);
    const before = snapshot(directory);
    const error = await errorOf(vendor(['vm']));
    expect(error.code).toBe('usage');
    expect(error.message).toContain('it also holds the packages of treeline/alpine-v3.19/x86_64/lxc');
    expect(differences(before, snapshot(directory))).toEqual([]);
  });

  it('through a symbolic link is refused as such', async () => {
    const { directory, vendor } = await setUp();
    mkdirSync(`${directory}-real`);
    symlinkSync(`${directory}-real`, directory);
    expect((await errorOf(vendor())).message).toContain('it is a symbolic link');
  });

  it('into a checkout in which a lock lies is refused: it would replace the checkout', async () => {
    const { vendor, directory, host, images } = await setUp();
    layFiles(directory, { 'src/precious.ts': 'x', 'package.json': '{}' });
    await lockImages(host, images(['vm']), join(directory, lockName));
    expect((await errorOf(vendor())).code).toBe('usage');
    expect(readFileSync(join(directory, 'src/precious.ts'), 'utf8')).toBe('x');
  });

  it('leaves directories beside it alone', async () => {
    const { vendor, directory } = await setUp();
    layFiles(`${directory}.new`, { mine: 'new' });
    layFiles(`${directory}.old`, { mine: 'old' });
    await vendor();
    await vendor();
    expect([
      readFileSync(`${directory}.new/mine`, 'utf8'),
      readFileSync(`${directory}.old/mine`, 'utf8'),
    ]).toEqual(['new', 'old']);
  });

  it('that fails or is stopped leaves what was there, and nothing beside it', async () => {
    const { vendor, mirror, directory, host } = await setUp();
    await vendor();
    const before = snapshot(directory);
    mirror.publish('extra', [...extra, { name: 'libweb', version: '2.0-r0' }]);
    rmSync(join(mirror.directory, 'v3.19/extra/x86_64/libweb-2.0-r0.apk'));
    expect((await errorOf(vendor(['vm'], { refresh: true }))).message).toContain('libweb 2.0-r0');
    expect(differences(snapshot(directory), before)).toEqual([]);
    expect(readdirSync(dirname(directory))).toEqual([basename(directory)]);
    host.stop();
    expect((await errorOf(vendor(['vm'], { refresh: true }))).code).toBe('cancelled');
    expect(differences(snapshot(directory), before)).toEqual([]);
  });

  it('that was killed between its last two steps is put right by the next one', async () => {
    const { vendor, directory, rebuild, withKeys } = await setUp();
    await vendor();
    const beside = (state: string): string =>
      join(dirname(directory), `.${basename(directory)}.treeline-${state}`);
    renameSync(directory, beside('old'));
    mkdirSync(beside('new'));
    writeFileSync(join(beside('new'), 'half'), '');
    await errorOf(vendor(['vm'], { mirrors: ['/nonexistent'] }));
    expect(existsSync(join(directory, lockName))).toBe(true);
    await vendor();
    expect(readdirSync(dirname(directory))).toEqual([basename(directory)]);
    expect((await rebuild(withKeys())).lock.packages.length).toBeGreaterThan(3);
  });
});

describe.skipIf(cannotInstall)('locking', () => {
  it('writes the locks of several images, from which each resolves to the same', async () => {
    const { host, images, mirror } = await setUp();
    const file = join(temporaryDirectory(), 'treeline.lock.json');
    await lockImages(host, images(['vm', 'lxc']), file);
    mirror.publish('extra', [...extra, { name: 'libweb', version: '2.0-r0' }]);
    const locks = await readLocks(file);
    expect([...locks.keys()]).toEqual([
      'treeline/alpine-v3.19/x86_64/lxc',
      'treeline/alpine-v3.19/x86_64/vm',
    ]);
    const [image] = images(['vm'], { lock: file });
    const recipe = await readRecipe(image!.request);
    const lock = await resolvePackages(host, recipe, image!.packages);
    expect(lock).toEqual(locks.get(recipe.ref));
    expect(lock.packages.find(({ name }) => name === 'libweb')!.version).toBe('1.0-r0');
  });

  it('one image leaves what the file says of others', async () => {
    const { host, images } = await setUp();
    const file = join(temporaryDirectory(), 'x.lock.json');
    await lockImages(host, images(['vm', 'lxc']), file);
    const before = readFileSync(file, 'utf8');
    expect(await lockImages(host, images(['vm']), file)).toEqual(['treeline/alpine-v3.19/x86_64/lxc']);
    expect(readFileSync(file, 'utf8')).toBe(before);
  });

  it('into a directory, or over a file that is no lock, is refused and leaves nothing', async () => {
    const { host, images } = await setUp();
    const parent = temporaryDirectory();
    const [directory, file] = [join(parent, 'directory'), join(parent, 'file')];
    mkdirSync(directory);
    writeFileSync(file, 'a letter');
    expect((await errorOf(lockImages(host, images(['vm']), directory))).code).toBe('usage');
    expect((await errorOf(lockImages(host, images(['vm']), file))).code).toBe('package');
    expect(readdirSync(parent)).toEqual(['directory', 'file']);
    expect(readFileSync(file, 'utf8')).toBe('a letter');
  });

  it('that fails leaves the lock that was there', async () => {
    const { host, images, layers } = await setUp();
    const file = join(temporaryDirectory(), 'treeline.lock.json');
    await lockImages(host, images(['vm']), file);
    const before = readFileSync(file, 'utf8');
    writeFileSync(join(layers, 'base/alpine/packages.list'), 'nothing-such\n');
    const error = await errorOf(lockImages(host, images(['vm']), file));
    expect(error.message).toContain('nothing-such (asked for by');
    expect(error.message).toContain('base/alpine/packages.list:1)');
    expect(readFileSync(file, 'utf8')).toBe(before);
    expect(readdirSync(dirname(file))).toHaveLength(1);
  });
});
