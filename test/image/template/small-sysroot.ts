import { copyFile, cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { execa } from 'execa';
import type { Recipe } from '../../../src/model.ts';
import { createHost } from '../../../src/host/host.ts';
import type { Host } from '../../../src/host/host.ts';
import { silentLog } from '../../../src/host/log.ts';
import { openWorkspace } from '../../../src/host/workspace.ts';

/** A directory for one test file; the caller removes it. */
export const testDirectory = (): Promise<string> => mkdtemp(join(tmpdir(), 'treeline-template-'));

export const removeDirectory = (path: string): Promise<void> => rm(path, { recursive: true, force: true });

export const testHost = (directory: string): Host =>
  createHost({
    workspace: openWorkspace(directory),
    log: silentLog,
    signal: new AbortController().signal,
    listeners: [],
  });

export const testRecipe = (target: 'lxc' | 'ovz'): Pick<Recipe, 'ref' | 'distribution' | 'request'> => ({
  ref: `treeline/debian-12/x86_64/${target}`,
  distribution: {
    id: 'debian',
    name: 'Debian GNU/Linux',
    release: '12',
    codename: 'bookworm',
    packages: 'deb',
    architecture: 'amd64',
  },
  request: {
    overlays: '/nowhere',
    base: 'debian',
    arch: 'x86_64',
    target,
    services: [],
    extraLayers: [],
  },
});

const ref = 'treeline/debian-12/x86_64/lxc';
const overlays = resolve(import.meta.dirname, '../../../overlays');

/**
 * The least tree that starts: busybox as init, and the container files of the real layers. Its /etc/inittab says on the
 * console `small: version V, PID 1 is …`, and `small: going down`.
 */
export async function makeSmallTree(directory: string, version: string): Promise<void> {
  await mkdir(join(directory, 'usr/bin'), { recursive: true });
  await mkdir(join(directory, 'usr/sbin'));
  await copyFile('/bin/busybox', join(directory, 'usr/bin/busybox'));
  const { stdout } = await execa('/bin/busybox', ['--list']);
  for (const applet of stdout.split('\n').filter((name) => name !== 'busybox')) {
    await symlink('busybox', join(directory, 'usr/bin', applet));
  }
  for (const name of ['init', 'poweroff', 'reboot']) {
    await symlink('../bin/busybox', join(directory, 'usr/sbin', name));
  }
  for (const name of ['dev', 'proc', 'sys', 'run', 'tmp', 'var', 'sysroot', 'boot']) {
    await mkdir(join(directory, name));
  }
  for (const name of ['bin', 'sbin', 'lib']) await symlink(`usr/${name}`, join(directory, name));
  await symlink('var/roothome', join(directory, 'root'));
  await symlink('sysroot/ostree', join(directory, 'ostree'));
  await cp(
    join(overlays, 'common/rootfs/usr/lib/treeline/container'),
    join(directory, 'usr/lib/treeline/container'),
    {
      recursive: true,
    },
  );
  const say = `echo "small: version ${version}, PID 1 is $(cat /proc/1/comm)" >/dev/console`;
  const files: Record<string, string> = {
    'usr/etc/inittab': `::wait:/bin/sh /etc/start\n::shutdown:/bin/sh -c 'echo small: going down >/dev/console'\n`,
    'usr/etc/start': `${say}\n`,
    'usr/etc/twin-1': 'two files of the same content\n',
    'usr/share/twin-1': 'two files of the same content\n',
    'usr/share/twin-2': 'two files of the same content\n',
    'usr/lib/os-release': `ID=small\nVERSION_ID=${version}\nPRETTY_NAME="Small ${version}"\n`,
    'usr/lib/modules/none/vmlinuz': '',
  };
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), content);
  }
  await symlink('../usr/lib/os-release', join(directory, 'usr/etc/os-release'));
}

/** Commits a tree into `repository` (made where there is none): the commit's id. */
export async function commitTree(repository: string, tree: string, version: string): Promise<string> {
  await execa('ostree', ['init', `--repo=${repository}`, '--mode=bare']);
  const { stdout } = await execa('ostree', [
    ...['commit', `--repo=${repository}`, `--branch=${ref}`, `--tree=dir=${tree}`],
    ...['--timestamp=@1700000000', `--subject=${version}`, `--add-metadata-string=version=${version}`],
  ]);
  return stdout.trim();
}

/** Deploys the newest commit of `repository` into a sysroot, which is made where there is none. */
export async function deploy(repository: string, sysroot: string): Promise<void> {
  const env = { OSTREE_SYSROOT_DEBUG: 'mutable-deployments' };
  const ostree = (...args: string[]) => execa('ostree', args, { env });
  const repo = `--repo=${sysroot}/ostree/repo`;
  if (!(await readdir(sysroot).catch(() => [] as string[])).includes('ostree')) {
    await mkdir(sysroot, { recursive: true });
    await ostree('admin', 'init-fs', sysroot);
    await ostree('admin', 'os-init', 'treeline', `--sysroot=${sysroot}`);
    await ostree('config', repo, 'set', 'sysroot.bootloader', 'none');
    await ostree('remote', 'add', repo, '--no-gpg-verify', 'treeline', 'http://localhost/');
    await mkdir(join(sysroot, 'ostree/deploy/treeline/var/roothome'), { recursive: true });
  }
  await ostree('pull-local', repo, '--remote=treeline', repository, ref);
  await ostree('admin', 'deploy', `--sysroot=${sysroot}`, '--os=treeline', `treeline:${ref}`);
}

/** A small sysroot with one deployment, at `<directory>/<name>`. `change` works on the tree before the commit. */
export async function makeSmallSysroot(
  directory: string,
  {
    name,
    version = '1',
    change,
  }: { name: string; version?: string; change?: (tree: string) => Promise<void> },
): Promise<{ sysroot: string; repository: string }> {
  const tree = join(directory, `${name}.tree`);
  await makeSmallTree(tree, version);
  await change?.(tree);
  const repository = join(directory, `${name}.repo`);
  await commitTree(repository, tree, version);
  const sysroot = join(directory, name);
  await deploy(repository, sysroot);
  return { sysroot, repository };
}
