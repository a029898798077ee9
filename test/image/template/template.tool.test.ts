import { execa } from 'execa';
import { copyFile, mkdir, readFile, readdir, readlink, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Artifact } from '../../../src/model.ts';
import type { Host } from '../../../src/host/host.ts';
import { makeTemplate } from '../../../src/image/template/template.ts';
import {
  commitTree,
  deploy,
  makeSmallSysroot,
  makeSmallTree,
  removeDirectory,
  testDirectory,
  testHost,
  testRecipe,
} from './small-sysroot.ts';

let directory: string;
let host: Host;

beforeAll(async () => {
  directory = await testDirectory();
  host = testHost(directory);
});
afterAll(() => removeDirectory(directory));

async function template(
  sysroot: string,
  output: string,
  how: { target?: 'lxc' | 'ovz'; flat?: boolean } = {},
): Promise<Artifact[]> {
  await mkdir(join(directory, output));
  return makeTemplate(host, {
    sysroot,
    recipe: testRecipe(how.target ?? 'lxc'),
    version: '20251104.0',
    epoch: 1_762_214_400,
    directory: join(directory, output),
    name: 'small',
    flat: how.flat ?? false,
  });
}

const find = (artifacts: readonly Artifact[], suffix: string): string =>
  artifacts.find((artifact) => artifact.path.endsWith(suffix))!.path;
const listing = async (path: string): Promise<string[]> =>
  (
    await execa('tar', ['--list', '--verbose', '--numeric-owner', '--full-time', '--file', path])
  ).stdout.split('\n');

describe('a template for lxc', () => {
  let sysroot: string;
  let artifacts: Artifact[];

  beforeAll(async () => {
    ({ sysroot } = await makeSmallSysroot(directory, { name: 'one' }));
    artifacts = await template(sysroot, 'out-one', { flat: true });
  });

  test('is a tarball for each manager, a squashfs, metadata, a configuration, and flat where that is asked for', () => {
    expect(artifacts.map(({ kind, path }) => [kind, basename(path)])).toEqual([
      ['tarball', 'small.tar.xz'],
      ['squashfs', 'small.squashfs'],
      ['tarball', 'small.tar.zst'],
      ['metadata', 'small-meta.tar.xz'],
      ['config', 'small.conf'],
      ['tarball', 'small-flat.tar.zst'],
    ]);
  });

  test('leaves nothing but its artifacts in the directory', async () => {
    expect(await readdir(join(directory, 'out-one'))).toEqual(
      artifacts.map(({ path }) => basename(path)).toSorted(),
    );
  });

  test('tells size and checksum of what it wrote', async () => {
    for (const { path, bytes, sha256 } of artifacts) {
      expect((await stat(path)).size).toBe(bytes);
      expect((await execa('sha256sum', [path])).stdout.slice(0, 64)).toBe(sha256);
    }
  });

  test('has the same bits when it is made of another sysroot of the same commit, at another time', async () => {
    const second = await makeSmallSysroot(directory, { name: 'two' });
    const again = await template(second.sysroot, 'out-two', { flat: true });
    expect(again.map(({ path, sha256 }) => [basename(path), sha256])).toEqual(
      artifacts.map(({ path, sha256 }) => [basename(path), sha256]),
    );
  });

  test('has links through /current for those who look into it from outside', async () => {
    expect(await readlink(join(sysroot, 'current'))).toMatch(
      /^ostree\/deploy\/treeline\/deploy\/[0-9a-f]{64}\.0$/,
    );
    expect(await readlink(join(sysroot, 'etc'))).toBe('current/etc');
    expect(await readFile(join(sysroot, 'etc/os-release'), 'utf8')).toContain('ID=small');
    expect(await readlink(join(sysroot, 'sbin/poweroff'))).toBe('../current/usr/sbin/poweroff');
    // Relative all of them: outside of the container, /usr is somebody else's.
    const { stdout } = await execa('find', [sysroot, '-maxdepth', '2', '-type', 'l', '-lname', '/*']);
    expect(stdout).toBe('');
  });

  test('keeps the hard links between repository, deployment and shell, in tarball and squashfs', async () => {
    const hardLinks = (await listing(find(artifacts, '.tar.xz'))).filter((line) => line.startsWith('h'));
    expect(hardLinks.some((line) => / \.\/sbin\/busybox link to | link to \.\/.*busybox$/.test(line))).toBe(
      true,
    );
    expect(hardLinks.length).toBeGreaterThan(5);
    const unpacked = join(directory, 'unpacked');
    await execa('unsquashfs', ['-quiet', '-no-progress', '-dest', unpacked, find(artifacts, '.squashfs')]);
    // Object, deployment, shell.
    expect((await stat(join(unpacked, 'sbin/busybox'))).nlink).toBe(3);
    await execa('ostree', ['fsck', '--quiet', `--repo=${unpacked}/ostree/repo`]);
  });

  test('has no time but the epoch', async () => {
    for (const suffix of ['small.tar.xz', 'small.tar.zst', '-meta.tar.xz', '-flat.tar.zst']) {
      const other = (await listing(find(artifacts, suffix))).filter(
        (line) => !line.includes(' 2025-11-04 00:00:00 '),
      );
      expect(other).toEqual([]);
    }
  });

  test('has no device nodes, which unprivileged users cannot unpack', async () => {
    expect((await listing(find(artifacts, '.tar.zst'))).filter((line) => /^[bcps]/.test(line))).toEqual([]);
  });

  test("has metadata and configuration that name each other's architecture", async () => {
    const { stdout } = await execa('tar', ['-xJOf', find(artifacts, '-meta.tar.xz'), './config']);
    expect(stdout).toContain('lxc.arch = x86_64');
    expect(await readFile(find(artifacts, '.conf'), 'utf8')).toContain(
      'lxc.rootfs.path = dir:/var/lib/lxc/NAME/rootfs',
    );
  });

  test('flat: /etc and /var are in their places, no ostree, and no file is linked to another', async () => {
    const lines = await listing(find(artifacts, '-flat.tar.zst'));
    const paths = lines.map((line) => line.split(' ').filter(Boolean)[5]);
    expect(paths).toEqual(expect.arrayContaining(['./etc/inittab', './usr/share/twin-2', 'var/roothome/']));
    expect(paths.filter((path) => /^(\.\/)?(usr\/etc|ostree|sysroot)(\/|$)/.test(path!))).toEqual([]);
    expect(paths.filter((path) => /^(\.\/)?var\/$/.test(path!))).toEqual(['var/']);
    expect(lines.filter((line) => line.startsWith('h'))).toEqual([]);
  });
});

test('a template for ovz is a .tar.gz with the name of an OS template, a squashfs that old kernels read, a sample', async () => {
  const { sysroot } = await makeSmallSysroot(directory, { name: 'ovz' });
  const artifacts = await template(sysroot, 'out-ovz', { target: 'ovz' });
  expect(artifacts.map(({ kind, path }) => [kind, basename(path)])).toEqual([
    ['tarball', 'debian-12-x86_64-treeline-20251104.0.tar.gz'],
    ['squashfs', 'small.squashfs'],
    ['config', 've-treeline.conf-sample'],
  ]);
  const { stdout } = await execa('unsquashfs', ['-stat', find(artifacts, '.squashfs')]);
  expect(stdout).toContain('Compression gzip');
  expect((await listing(find(artifacts, '.tar.gz'))).some((line) => line.endsWith(' ./sbin/init'))).toBe(
    true,
  );
});

test('the objects of the repository that a sysroot is linked to are not written to', async () => {
  const { sysroot, repository } = await makeSmallSysroot(directory, { name: 'linked' });
  await template(sysroot, 'out-linked', { flat: true });
  const { exitCode } = await execa('ostree', ['fsck', '--quiet', `--repo=${repository}`], { reject: false });
  expect(exitCode).toBe(0);
});

test('a tree without the shim is refused, with the layer that brings it', async () => {
  const { sysroot } = await makeSmallSysroot(directory, {
    name: 'no-shim',
    change: (tree) => rm(join(tree, 'usr/lib/treeline'), { recursive: true }),
  });
  await expect(template(sysroot, 'out-no-shim')).rejects.toMatchObject({
    code: 'recipe',
    message: expect.stringContaining('/usr/lib/treeline/container/init'),
    hint: expect.stringContaining('common'),
  });
});

test.each([
  ['that needs libraries', (tree: string) => copyFile('/bin/ls', join(tree, 'usr/bin/busybox'))],
  ['that is no program', (tree: string) => writeFile(join(tree, 'usr/bin/busybox'), '#!/bin/sh\n')],
])('a busybox %s is refused: the shell must run without a deployment', async (what, change) => {
  const name = what.replaceAll(' ', '-');
  const { sysroot } = await makeSmallSysroot(directory, {
    name,
    change: async (tree) => {
      await rm(join(tree, 'usr/bin/busybox'));
      await change(tree);
    },
  });
  await expect(template(sysroot, `out-${name}`)).rejects.toMatchObject({
    code: 'recipe',
    hint: expect.stringContaining('busybox-static'),
  });
});

test('a sysroot with two deployments is refused: a template begins with one', async () => {
  const { sysroot, repository } = await makeSmallSysroot(directory, { name: 'twice' });
  await makeSmallTree(join(directory, 'twice-2.tree'), '2');
  await commitTree(repository, join(directory, 'twice-2.tree'), '2');
  await deploy(repository, sysroot);
  await expect(template(sysroot, 'out-twice')).rejects.toThrow('it holds 2 deployments');
});
