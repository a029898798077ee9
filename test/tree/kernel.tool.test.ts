import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import type { Recipe, Settings } from '../../src/model.ts';
import { makeInitramfs } from '../../src/tree/initramfs.ts';
import { placeKernel } from '../../src/tree/kernel.ts';
import { makeSkeleton } from '../../src/tree/skeleton.ts';
import { errorOf, temporaryDirectory, temporaryHost } from '../helpers/host.ts';
import { addBusybox, layFiles, recipe } from '../helpers/trees.ts';
import { kernelModule } from './kernel-module.ts';

const version = '6.1.0-test';
const modules = `usr/lib/modules/${version}`;
/** With a hook, which might bring modules: without any, those of packages were chosen when they were merged. */
const withKernel = (kernel: Partial<Settings['kernel']>): Recipe =>
  recipe({
    hooks: [{ phase: 'install', name: '50-x', path: '/x', origin: { layer: 'x', file: '/x' } }],
    settings: { kernel: { enabled: true, arguments: [], modules: [], initramfs: [], ...kernel } },
  });

/** A tree with a kernel, and modules of which virtio_net needs virtio needs virtio_ring. */
async function treeWithKernel(): Promise<string> {
  const root = temporaryDirectory();
  await makeSkeleton(root);
  layFiles(root, {
    [`boot/vmlinuz-${version}`]: 'kernel',
    [`boot/config-${version}`]: 'x',
    [`${modules}/modules.order`]: '',
    [`${modules}/modules.builtin`]: 'kernel/fs/ext4/ext4.ko\n',
    'usr/lib/treeline/initramfs/init': '#!/bin/busybox sh\n',
  });
  const put = (path: string, bytes: Buffer): void => {
    mkdirSync(join(root, modules, path, '..'), { recursive: true });
    writeFileSync(join(root, modules, path), bytes);
  };
  put('kernel/drivers/virtio/virtio_ring.ko', kernelModule({ exports: ['ring'] }));
  put('kernel/drivers/virtio/virtio.ko', kernelModule({ exports: ['bus'], needs: ['ring'] }));
  put('kernel/drivers/net/virtio_net.ko', kernelModule({ needs: ['bus'] }));
  put('kernel/drivers/net/wireless/radio.ko', kernelModule({}));
  put('kernel/sound/snd-card.ko', kernelModule({}));
  addBusybox(root);
  return root;
}

const modulesOf = (root: string): string[] =>
  execFileSync('find', [modules, '-name', '*.ko', '-printf', '%f\n'], { cwd: root, encoding: 'utf8' })
    .split('\n')
    .filter(Boolean)
    .toSorted();

describe('the kernel', () => {
  it('goes where OSTree looks for it, and leaves /boot empty', async () => {
    const root = await treeWithKernel();
    expect(await placeKernel(temporaryHost(), root, withKernel({}))).toBe(version);
    expect(readFileSync(join(root, modules, 'vmlinuz'), 'utf8')).toBe('kernel');
    expect(readdirSync(join(root, 'boot'))).toEqual([]);
    expect(modulesOf(root)).toHaveLength(5);
  });

  it('keeps the modules that a glob matches with all that they need, and their index says so', async () => {
    const root = await treeWithKernel();
    await placeKernel(temporaryHost(), root, withKernel({ modules: ['drivers/net/*.ko'] }));
    expect(modulesOf(root)).toEqual(['virtio.ko', 'virtio_net.ko', 'virtio_ring.ko']);
    expect(existsSync(join(root, modules, 'kernel/sound'))).toBe(false);
    const index = readFileSync(join(root, modules, 'modules.dep'), 'utf8');
    expect(index).toContain('kernel/drivers/net/virtio_net.ko: kernel/drivers/virtio/virtio.ko');
    expect(index).not.toContain('radio');
  });

  it('leaves the modules of packages as they were merged, where no layer brings any', async () => {
    const root = await treeWithKernel();
    const { settings } = withKernel({ modules: ['drivers/net/*.ko'] });
    await placeKernel(temporaryHost(), root, recipe({ settings }));
    expect(modulesOf(root)).toHaveLength(5);
    const path = `${modules}/kernel/own/own.ko`;
    const file = { path, kind: 'file', source: '/x', mode: 0o644, uid: 0, gid: 0 } as const;
    const other = await treeWithKernel();
    const files = [{ ...file, origin: { layer: 'x', file: '/x' } }];
    await placeKernel(temporaryHost(), other, recipe({ settings, files }));
    expect(modulesOf(other)).toHaveLength(3);
  });

  it.each([
    ['gzip', 'gz'],
    ['xz', 'xz'],
    ['zstd', 'zst'],
  ])(
    'has its modules unpacked where they are compressed by %s, and only those that stay',
    async (program, ending) => {
      const root = await treeWithKernel();
      const module = 'kernel/drivers/net/virtio_net.ko';
      const bytes = readFileSync(join(root, modules, module));
      const packed = execFileSync('find', [join(root, modules), '-name', '*.ko'], { encoding: 'utf8' });
      execFileSync(program, [...(program === 'zstd' ? ['-q', '--rm'] : []), ...packed.trim().split('\n')]);
      expect(existsSync(join(root, modules, `${module}.${ending}`))).toBe(true);
      await placeKernel(temporaryHost(), root, withKernel({ modules: ['drivers/net/*.ko'] }));
      expect(modulesOf(root)).toEqual(['virtio.ko', 'virtio_net.ko', 'virtio_ring.ko']);
      expect(readFileSync(join(root, modules, module)).equals(bytes)).toBe(true);
      expect(readFileSync(join(root, modules, 'modules.dep'), 'utf8')).toContain(`${module}: `);
      expect(execFileSync('find', [join(root, modules), '-name', `*.${ending}`], { encoding: 'utf8' })).toBe(
        '',
      );
    },
  );

  it('is empty where the target brings its own', async () => {
    const root = await treeWithKernel();
    expect(await placeKernel(temporaryHost(), root, withKernel({ enabled: false }))).toBeUndefined();
    expect(readFileSync(join(root, 'usr/lib/modules/none/vmlinuz'), 'utf8')).toBe('');
  });

  it.each([
    ['none', {}, '0 kernels in /boot'],
    ['two', { 'boot/vmlinuz-6.2.0': 'x', [`boot/vmlinuz-${version}`]: 'x' }, '2 kernels in /boot'],
    ['modules of another version as well', { 'usr/lib/modules/6.2.0/x': '' }, `${version}, 6.2.0`],
  ])('is refused where there is %s', async (_name, files, found) => {
    const root = temporaryDirectory();
    await makeSkeleton(root);
    layFiles(root, { [`${modules}/x`]: '', ...files });
    const error = await errorOf(placeKernel(temporaryHost(), root, withKernel({})));
    expect(error.code).toBe('recipe');
    expect(error.message).toContain('exactly one kernel');
    expect(error.message).toContain(found);
  });

  it('is refused with the same words in a tree that has no /boot', async () => {
    const error = await errorOf(placeKernel(temporaryHost(), temporaryDirectory(), withKernel({})));
    expect(error.message).toContain('exactly one kernel');
  });
});

describe('the initramfs', () => {
  let root: string;
  beforeEach(async () => {
    root = await treeWithKernel();
    await placeKernel(temporaryHost(), root, withKernel({}));
  });

  const epoch = 1_700_000_000;
  const image = (): string => join(root, modules, 'initramfs.img');
  const make = async (names: readonly string[], from = root): Promise<Buffer> => {
    const host = temporaryHost();
    await makeInitramfs(host, {
      root: from,
      recipe: withKernel({ initramfs: names }),
      version,
      epoch,
      scratch: join(host.workspace.temporary, 'initramfs'),
    });
    expect(existsSync(join(host.workspace.temporary, 'initramfs'))).toBe(false);
    return readFileSync(join(from, modules, 'initramfs.img'));
  };
  const unpack = (): string => {
    const directory = temporaryDirectory();
    execFileSync('cpio', ['-id', '--quiet'], { cwd: directory, input: readFileSync(image()) });
    return directory;
  };

  it('holds busybox, init, the named modules with what they need, and the names of those that no hardware asks for', async () => {
    await make(['virtio-net', 'ext4', 'snd_card']);
    const directory = unpack();
    expect(readFileSync(join(directory, 'init'), 'utf8')).toBe('#!/bin/busybox sh\n');
    expect(execFileSync(join(directory, 'bin/busybox'), ['echo', 'ok'], { encoding: 'utf8' })).toBe('ok\n');
    expect(readFileSync(join(directory, 'etc/modules'), 'utf8')).toBe('snd_card\n');
    expect(modulesOf(directory)).toEqual(['snd-card.ko', 'virtio.ko', 'virtio_net.ko', 'virtio_ring.ko']);
    expect(readFileSync(join(directory, modules, 'modules.dep'), 'utf8')).toContain('virtio_net.ko: ');
  });

  it("holds the layer's deadline, as a program, where there is one", async () => {
    await make([]);
    expect(existsSync(join(unpack(), 'deadline'))).toBe(false);
    layFiles(root, { 'usr/lib/treeline/initramfs/deadline': '#!/bin/busybox sh\necho late\n' });
    await make([]);
    expect(execFileSync('busybox', ['sh', join(unpack(), 'deadline')], { encoding: 'utf8' })).toBe('late\n');
  });

  it('is the same bytes again, whatever the times in the tree and the umask', async () => {
    const first = await make(['virtio_net']);
    for (const path of [
      'usr/bin/busybox',
      'usr/lib/treeline/initramfs/init',
      `${modules}/kernel/drivers/net/virtio_net.ko`,
    ])
      utimesSync(join(root, path), 1, 1);
    const before = process.umask(0o077);
    onTestFinished(() => void process.umask(before));
    const second = await make(['virtio_net']);
    expect(second.equals(first)).toBe(true);
  });

  it('belongs to root, its times are the commit’s', async () => {
    await make(['virtio_net']);
    const list = execFileSync('cpio', ['-itv', '--numeric-uid-gid', '--quiet'], {
      input: readFileSync(image()),
      encoding: 'utf8',
      env: { ...process.env, TZ: 'UTC', LC_ALL: 'C' },
    })
      .trim()
      .split('\n');
    expect(list.length).toBeGreaterThan(15);
    for (const line of list) expect(line).toMatch(/^\S+ +\d+ +0 +0 .*Nov 14 +2023/);
  });

  it('names a module that the kernel does not have, with the nearest one', async () => {
    const error = await errorOf(make(['virtio_nte']));
    expect(error.code).toBe('recipe');
    expect(error.message).toContain(`kernel ${version} has no module virtio_nte`);
    expect(error.hint).toContain('Did you mean virtio_net?');
  });

  it('takes a module with a question mark only where the kernel has it', async () => {
    await make(['virtio_net?', 'nvme?']);
    expect(modulesOf(unpack())).toEqual(['virtio.ko', 'virtio_net.ko', 'virtio_ring.ko']);
  });

  it('takes the static one of two busyboxes', async () => {
    execFileSync('cp', [join(root, 'usr/bin/busybox'), join(root, 'usr/bin/busybox.static')]);
    writeFileSync(join(root, 'usr/bin/busybox'), 'a program that needs libraries');
    await make([]);
    const said = execFileSync(join(unpack(), 'bin/busybox'), ['echo', 'ok'], { encoding: 'utf8' });
    expect(said).toBe('ok\n');
  });

  it.each([
    ['usr/bin/busybox', 'the tree has no statically linked busybox in /usr/bin'],
    ['usr/lib/treeline/initramfs/init', 'the tree has no /usr/lib/treeline/initramfs/init'],
  ])('cannot be made without /%s', async (path, reason) => {
    execFileSync('rm', [join(root, path)]);
    const error = await errorOf(make([]));
    expect(error.code).toBe('recipe');
    expect(error.message).toContain(reason);
  });

  it('takes nothing of this machine through a link of the tree', async () => {
    const outside = layFiles(temporaryDirectory(), { init: 'of this machine\n' });
    execFileSync('ln', ['-sf', join(outside, 'init'), join(root, 'usr/lib/treeline/initramfs/init')]);
    await expect(make([])).rejects.toThrow('ENOENT');
    expect(existsSync(image())).toBe(false);
  });
});
