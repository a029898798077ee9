import { join } from 'node:path';
import { writeFile } from '../../host/files.ts';
import type { Host } from '../../host/host.ts';
import { TreelineError } from '../../host/errors.ts';
import type { Role } from './roles.ts';
import type { PlannedPartition } from './plan.ts';

/** How an ext4 of ours is shaped; space.ts counts with the same numbers. */
export interface Ext4Shape {
  journalMebibytes: number;
  bytesPerInode: number;
  /** Of the blocks, kept for root. */
  reservedPercent: number;
}

export const ext4Block = 4096;
export const ext4Inode = 256;

export function ext4Shape(role: Role): Ext4Shape {
  return role === 'boot'
    ? { journalMebibytes: 4, bytesPerInode: 65536, reservedPercent: 0 }
    : { journalMebibytes: 8, bytesPerInode: 8192, reservedPercent: 1 };
}

// Named one by one, so that the host's mke2fs.conf has no say. All of them are known to GRUB 2.06.
const features = [
  'none', 'has_journal', 'ext_attr', 'resize_inode', 'dir_index', 'filetype', 'extent', 'flex_bg', 'sparse_super',
  'large_file', 'huge_file', 'dir_nlink', 'extra_isize', 'metadata_csum',
]; // prettier-ignore

/** Says nothing, in place of the host's: a mke2fs without types complains on stderr. */
const mke2fsConfig = ['ext4', 'small', 'big', 'huge'].reduce(
  (text, type) => `${text}${type} = {\ninode_size = ${ext4Inode}\n}\n`,
  '[fs_types]\n',
);

export interface Ext4Job {
  /** The image file, zero where the partition lies. */
  image: string;
  partition: PlannedPartition;
  /** Its content becomes the filesystem's; owners, modes, xattrs and hard links (of files) are kept. */
  directory: string;
  /** A directory for unfinished work. */
  scratch: string;
  /** Seconds since 1970. */
  epoch: number;
  /** Directories, as absolute paths in the filesystem, that get the immutable flag. */
  immutable: readonly string[];
}

/**
 * Makes an ext4 from a directory, in place. The same content gives the same bytes: all times become `epoch`, but for
 * modification times of 0, which OSTree gives to what it checks out.
 */
export async function writeExt4(host: Host, job: Ext4Job): Promise<void> {
  const { image, partition, directory } = job;
  const { journalMebibytes, bytesPerInode, reservedPercent } = ext4Shape(partition.role);
  const epoch = Math.max(1, job.epoch);
  const config = join(job.scratch, `mke2fs-${partition.role}.conf`);
  await writeFile(config, mke2fsConfig);
  const env = { E2FSPROGS_FAKE_TIME: String(epoch), MKE2FS_CONFIG: config };
  const target = `${image}?offset=${partition.start}`;
  const extended = {
    offset: partition.start,
    nodiscard: undefined,
    // A new sparse file reads as zeros: neither mke2fs nor the kernel has to write them.
    assume_storage_prezeroed: 1,
    root_owner: '0:0',
    hash_seed: partition.hashSeed,
  };
  await host.run({
    program: 'mke2fs',
    args: [
      ...['-q', '-F', '-t', 'ext4', '-b', ext4Block, '-I', ext4Inode, '-i', bytesPerInode].map(String),
      ...['-m', reservedPercent, '-J', `size=${journalMebibytes}`, '-O', features.join(',')].map(String),
      ...['-U', partition.uuid, '-L', partition.label],
      ...['-E', Object.entries(extended).map(option).join(',')],
      ...['-d', directory, image, `${Math.floor(partition.size / 1024)}k`],
    ],
    env,
    doing: `make the ${partition.role} filesystem`,
    hint: `If it is too small for its content, make ${partition.name} larger (line ${partition.line} of the layout).`,
  });
  const inodes = usedInodes((await host.run({ program: 'dumpe2fs', args: [target] })).stdout);
  const found = await debug(host, {
    target,
    script: inodes.map((inode) => `stat <${inode}>`),
    args: [],
    env,
  });
  const script = [
    ...['mode 040755', 'uid 0', 'gid 0'].map((field) => `set_inode_field <2> ${field}`),
    ...readModificationTimes(found).flatMap(({ inode, mtime }) =>
      timeScript(inode, mtime === 0 ? 0 : epoch, epoch),
    ),
    // 0x80000: the inode uses extents, as all that mke2fs makes do; 0x10: immutable.
    ...job.immutable.map((path) => `set_inode_field ${path} flags 0x80010`),
  ];
  await debug(host, { target, script, args: ['-w'], env });
}

const option = ([name, value]: [string, unknown]): string =>
  value === undefined ? name : `${name}=${String(value)}`;

/** Inode numbers in use that a directory can name: the root and those from lost+found on. `text` is dumpe2fs' output. */
function usedInodes(text: string): number[] {
  const total = Number(/^Inode count:\s+(\d+)$/m.exec(text)![1]);
  const free = new Set<number>();
  for (const [, ranges] of text.matchAll(/^ {2}Free inodes: (.*)$/gm)) {
    for (const [, first, last] of ranges!.matchAll(/(\d+)(?:-(\d+))?/g)) {
      for (let inode = Number(first); inode <= Number(last ?? first); inode++) free.add(inode);
    }
  }
  const used = [2];
  for (let inode = 11; inode <= total; inode++) if (!free.has(inode)) used.push(inode);
  return used;
}

function readModificationTimes(text: string): { inode: number; mtime: number }[] {
  const matches = text.matchAll(/^Inode: (\d+) .*?^ mtime: 0x([0-9a-f]+)/gms);
  return [...matches].map(([, inode, mtime]) => ({
    inode: Number(inode),
    mtime: Number.parseInt(mtime!, 16),
  }));
}

function timeScript(inode: number, modified: number, other: number): string[] {
  const times = { atime: other, ctime: other, mtime: modified, crtime: other };
  return Object.entries(times).flatMap(([field, seconds]) => [
    `set_inode_field <${inode}> ${field} @${seconds}`,
    `set_inode_field <${inode}> ${field}_extra 0`,
  ]);
}

/**
 * Runs a script of debugfs on a file system, `target`: a path, with `?offset=BYTES` behind it for a partition. Resolves to
 * what it printed. debugfs exits 0 whatever its commands do; what it says on stderr tells, and is thrown as 'command'.
 */
export async function debug(
  host: Host,
  job: { target: string; script: readonly string[]; args: readonly string[]; env: Record<string, string> },
): Promise<string> {
  const { stdout, stderr } = await host.run({
    program: 'debugfs',
    args: [...job.args, '-f', '-', job.target],
    input: `${job.script.join('\n')}\n`,
    env: job.env,
  });
  const complaints = stderr.split('\n').filter((line) => line !== '' && !/^debugfs \d/.test(line));
  if (complaints.length === 0) return stdout;
  throw new TreelineError('command', `Cannot finish a filesystem: debugfs says ${complaints[0]}`, {
    output: complaints.slice(0, 40).join('\n'),
  });
}
