import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { copyGrubView, foreseeStart } from './grub-view.ts';

/** What lies on a disk that lost its power, and what is wrong with it. */
export interface DiskReport {
  /** Commits, the one that starts next first. */
  deployed: string[];
  /** Whether the initramfs has to repair what GRUB sees before it can start. */
  mended: boolean;
  /** Sentences; none where all is well. */
  problems: string[];
}

/**
 * Looks at a raw disk as the machine would find it: what GRUB sees must lead to a start; then journals are replayed (the
 * file is written to), and the file systems must be clean, the repository whole, and what the boot entries name must be
 * there, whole. Needs root.
 */
export async function inspectDisk(disk: string): Promise<DiskReport> {
  const directory = await mkdtemp(`${disk}-mounts-`);
  const problems: string[] = [];
  const mounts: string[] = [];
  try {
    const partitions = await partitionsOf(disk);
    const [seen, boot, rootfs] = ['seen', 'boot', 'rootfs'].map((name) => join(directory, name)) as [
      string,
      string,
      string,
    ];
    await copyGrubView(disk, partitions.boot, seen);
    for (const [role, { offset, bytes }] of Object.entries(partitions)) {
      const device = await loopDevice({ disk, offset, bytes });
      try {
        problems.push(...(await checkFileSystem(device, role)));
        const point = join(directory, role);
        await mkdir(point);
        await execa('mount', ['-t', 'ext4', '-o', 'ro', device, point]);
        mounts.push(point);
      } finally {
        // It goes when nothing uses it any more.
        await execa('losetup', ['--detach', device]);
      }
    }
    const { mended, problems: ofStart } = await foreseeStart(seen, boot, rootfs);
    problems.push(...ofStart);
    problems.push(...(await checkRepository(rootfs)));
    const entries = await readEntries(boot);
    if (entries.length === 0) problems.push('there is no boot entry');
    for (const entry of entries) problems.push(...(await checkEntry(directory, entry)));
    return { deployed: entries.map(({ commit }) => commit), mended, problems };
  } finally {
    for (const point of mounts) await execa('umount', [point]);
    await rm(directory, { recursive: true, force: true });
  }
}

export interface Partition {
  offset: number;
  bytes: number;
}

/** Of a raw disk, by the names that the standard layout gives them; bytes. */
export async function partitionsOf(disk: string): Promise<{ boot: Partition; rootfs: Partition }> {
  const { stdout } = await execa('sfdisk', ['--json', disk]);
  const { partitiontable } = JSON.parse(stdout) as {
    partitiontable: { partitions: { name?: string; start: number; size: number }[] };
  };
  const find = (wanted: string): Partition => {
    const found = partitiontable.partitions.find(({ name }) => name === wanted);
    if (found === undefined) throw new Error(`${disk} has no partition ${wanted}`);
    return { offset: found.start * 512, bytes: found.size * 512 };
  };
  return { boot: find('boot'), rootfs: find('rootfs') };
}

async function loopDevice({ disk, offset, bytes }: Partition & { disk: string }): Promise<string> {
  const range = ['--offset', String(offset), '--sizelimit', String(bytes)];
  const { stdout } = await execa('losetup', ['--find', '--show', ...range, disk]);
  return stdout.trim();
}

/** e2fsck replays the journal as the kernel does; what it finds amiss after that is damage. */
async function checkFileSystem(device: string, role: string): Promise<string[]> {
  await execa('e2fsck', ['-p', device], { reject: false });
  const { exitCode, stdout } = await execa('e2fsck', ['-f', '-n', device], { reject: false });
  return exitCode === 0 ? [] : [`the file system ${role} is damaged:\n${stdout}`];
}

async function checkRepository(root: string): Promise<string[]> {
  const { exitCode, all } = await execa(
    'ostree',
    ['fsck', '--quiet', `--repo=${join(root, 'ostree/repo')}`],
    {
      reject: false,
      all: true,
    },
  );
  return exitCode === 0 ? [] : [`ostree fsck: ${all}`];
}

interface Entry {
  name: string;
  /** Higher ones come first. */
  version: number;
  commit: string;
  /** In the root file system. */
  deployment: string;
  linux: string;
  initrd: string;
}

/** The Boot Loader Specification's entries that ostree writes, the one that starts next first. */
async function readEntries(boot: string): Promise<Entry[]> {
  const directory = join(boot, 'loader/entries');
  const names = (await readdir(directory)).filter((name) => name.endsWith('.conf'));
  const entries = await Promise.all(
    names.map(async (name): Promise<Entry> => {
      const text = await readFile(join(directory, name), 'utf8');
      const field = (key: string): string => new RegExp(`^${key} +(.*)$`, 'm').exec(text)?.[1] ?? '';
      const deployment = /\bostree=(\S+)/.exec(field('options'))?.[1] ?? '';
      return {
        name,
        version: Number(field('version')),
        deployment,
        commit: '',
        linux: field('linux'),
        initrd: field('initrd'),
      };
    }),
  );
  return entries.toSorted((a, b) => b.version - a.version);
}

/** Fills in the commit. */
async function checkEntry(directory: string, entry: Entry): Promise<string[]> {
  const root = join(directory, 'rootfs');
  const { exitCode, stdout } = await execa('readlink', ['-e', join(root, entry.deployment)], {
    reject: false,
  });
  if (exitCode !== 0) return [`${entry.name}: there is no ${entry.deployment}`];
  entry.commit = /\/([0-9a-f]{64})\.\d+$/.exec(stdout)?.[1] ?? '';
  const modules = join(stdout, 'usr/lib/modules');
  const [release = ''] = await readdir(modules);
  const problems: string[] = [];
  for (const [installed, own] of [
    [entry.linux, 'vmlinuz'],
    [entry.initrd, 'initramfs.img'],
  ] as const) {
    // Paths in entries are as the boot loader sees them: of its own partition, or below /boot.
    const path = join(directory, 'boot', installed.replace(/^\/boot\//, '/'));
    const same = await execa('cmp', [path, join(modules, release, own)], { reject: false });
    if (same.exitCode !== 0)
      problems.push(`${entry.name}: ${installed} is not the deployment's: ${same.stderr}`);
  }
  return problems;
}
