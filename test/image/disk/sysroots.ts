import { chmod, chown, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import type { Host } from '../../../src/host/host.ts';
import { createHost } from '../../../src/host/host.ts';
import { openLog } from '../../../src/host/log.ts';
import { openWorkspace } from '../../../src/host/workspace.ts';
import { prepareBootDirectory } from '../../../src/image/disk/boot-directory.ts';

export const ref = 'treeline/test/x86_64/vm';
/** OSTree sets the immutable flag otherwise, and the directory could not be removed. */
const env = { OSTREE_SYSROOT_DEBUG: 'mutable-deployments' };

export interface Place {
  directory: string;
  host: Host;
  remove(): Promise<void>;
}

/** A directory of its own, and a host whose workspace is in it. */
export async function makePlace(): Promise<Place> {
  const directory = await mkdtemp(join(tmpdir(), 'treeline-disk-'));
  const host = createHost({
    workspace: openWorkspace(join(directory, 'workspace')),
    log: openLog(join(directory, 'log')),
    signal: new AbortController().signal,
    listeners: [],
  });
  return { directory, host, remove: () => rm(directory, { recursive: true, force: true }) };
}

export interface TreeFile {
  path: string;
  content: string | Uint8Array;
  mode?: number;
  uid?: number;
}

/** A real OSTree sysroot with one deployment of a small tree, made as a build makes it. */
export async function makeSysroot(options: {
  directory: string;
  kernel: string | Uint8Array;
  initramfs: string | Uint8Array;
  kernelArguments: readonly string[];
  files?: readonly TreeFile[];
}): Promise<string> {
  const tree = join(options.directory, 'tree');
  const sysroot = join(options.directory, 'sysroot');
  const repository = `--repo=${join(sysroot, 'ostree/repo')}`;
  await writeTree(tree, [
    { path: 'usr/lib/os-release', content: 'ID=treeline\nPRETTY_NAME="Treeline test"\n' },
    { path: 'usr/etc/hostname', content: 'test\n' },
    { path: 'usr/lib/modules/6.1/vmlinuz', content: options.kernel },
    { path: 'usr/lib/modules/6.1/initramfs.img', content: options.initramfs },
    ...(options.files ?? []),
  ]);
  for (const name of ['proc', 'sys', 'dev', 'run', 'tmp', 'var', 'sysroot', 'boot'])
    await mkdir(join(tree, name));
  await symlink('sysroot/ostree', join(tree, 'ostree'));
  await mkdir(sysroot);
  await execa('ostree', ['admin', 'init-fs', '--modern', sysroot]);
  await execa('ostree', ['admin', 'os-init', `--sysroot=${sysroot}`, 'treeline']);
  await execa('ostree', [repository, 'config', 'set', 'sysroot.bootloader', 'syslinux']);
  await execa('ostree', [
    repository,
    'commit',
    '-b',
    ref,
    '-s',
    'test',
    '--timestamp=2025-11-01T00:00:00Z',
    tree,
  ]);
  await prepareBootDirectory(sysroot);
  await deploy(sysroot, options.kernelArguments);
  return sysroot;
}

export async function deploy(sysroot: string, kernelArguments: readonly string[]): Promise<void> {
  const append = kernelArguments.map((argument) => `--karg-append=${argument}`);
  await execa('ostree', ['admin', 'deploy', `--sysroot=${sysroot}`, '--os=treeline', ...append, ref], {
    env,
  });
}

async function writeTree(root: string, files: readonly TreeFile[]): Promise<void> {
  for (const { path, content, mode = 0o644, uid = 0 } of files) {
    const file = join(root, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, content);
    await chown(file, uid, uid);
    await chmod(file, mode);
  }
}
