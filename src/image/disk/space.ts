import { TreelineError } from '../../host/errors.ts';
import { inMebibytes, mebibyte } from './bytes.ts';
import { ext4Block, ext4Inode, ext4Shape } from './ext4.ts';
import type { DiskPlan } from './plan.ts';
import type { Role } from './roles.ts';
import { partitionOf } from './roles.ts';

/** What one deployment takes, in bytes as `du` counts them. */
export interface SpaceNeeds {
  /** Kernel and initramfs. */
  bootBytes: number;
  /** The deployment's directory. */
  commitBytes: number;
}

/** The running deployment, the one before, and an update, whose kernel is written before the oldest is removed. */
const keptKernels = 3;
/** The running commit, and the other one: the one before, or an update. */
const keptCommits = 2;

/**
 * Throws TreelineError 'layout', with the sizes that would do, where the boot partition cannot hold the kernels of three
 * deployments, or the rootfs two commits.
 */
export function checkSpace(plan: DiskPlan, needs: SpaceNeeds): void {
  const tooSmall = [
    { partition: partitionOf(plan.partitions, 'boot'), content: bootContent(needs), what: bootWords(needs) },
    {
      partition: partitionOf(plan.partitions, 'rootfs'),
      content: rootContent(needs),
      what: rootWords(needs),
    },
  ].filter(({ partition, content }) => usableBytes(partition.role, partition.size) < content);
  if (tooSmall.length === 0) return;
  const reasons = tooSmall.map(
    ({ partition, content, what }) =>
      `${plan.layout.name}:${partition.line}: ${partition.name} is too small: ` +
      `of its ${inMebibytes(partition.size)} files get ${inMebibytes(Math.max(0, usableBytes(partition.role, partition.size)))}; ` +
      `${what} need ${inMebibytes(content)}`,
  );
  const sizes = tooSmall.map(
    ({ partition, content }) =>
      `size=${sizeThatHolds(partition.role, content) / mebibyte}MiB for ${partition.name}`,
  );
  throw new TreelineError('layout', `Cannot use layout ${reasons.join(';\n  ')}`, {
    hint: `Give it at least ${sizes.join(' and ')}.`,
  });
}

/** With a little for the boot entries, written anew beside the old ones, and GRUB's configuration. */
const bootContent = ({ bootBytes }: SpaceNeeds): number => keptKernels * bootBytes + mebibyte / 4;
const bootWords = ({ bootBytes }: SpaceNeeds): string =>
  `the kernel and initramfs of ${keptKernels} deployments (${inMebibytes(bootBytes)} each)`;

/** A commit's metadata objects come to about 2 % of it; /var gets what an update's download and logs take at least. */
const rootContent = ({ commitBytes }: SpaceNeeds): number => keptCommits * commitBytes * 1.02 + 16 * mebibyte;
const rootWords = ({ commitBytes }: SpaceNeeds): string =>
  `${keptCommits} commits (${inMebibytes(commitBytes)} each) and the smallest /var`;

/** OSTree refuses to write into a repository whose file system has less free: core.min-free-space-percent. */
const ostreeFreePercent = 3;

/** Bytes that files can have on a partition of this size, after what ext4 and OSTree keep for themselves. */
export function usableBytes(role: Role, size: number): number {
  const { journalMebibytes, bytesPerInode, reservedPercent } = ext4Shape(role);
  const blocks = Math.floor(size / ext4Block);
  const groups = Math.ceil(blocks / blocksPerGroup);
  // Inodes come in whole blocks, the same number of them in each group.
  const tableBlocks = Math.ceil((size / bytesPerInode / groups) * (ext4Inode / ext4Block)) * groups;
  const descriptors = descriptorBlocks(groups);
  // The resize inode keeps room for the descriptors of a filesystem 1024 times as large.
  const reservedDescriptors = Math.min(
    1024,
    descriptorBlocks(Math.ceil((blocks * 1024) / blocksPerGroup)) - descriptors,
  );
  const superblocks = backupGroups(groups) * (1 + descriptors + reservedDescriptors);
  const journal = (journalMebibytes * mebibyte) / ext4Block;
  const kept = Math.ceil(
    (blocks * (role === 'rootfs' ? Math.max(reservedPercent, ostreeFreePercent) : reservedPercent)) / 100,
  );
  return (blocks - tableBlocks - superblocks - 2 * groups - journal - fixedBlocks - kept) * ext4Block;
}

const blocksPerGroup = 32768;
/** Root directory, lost+found, the resize inode's block, and the deepest levels of extent trees. */
const fixedBlocks = 16;

const descriptorBlocks = (groups: number): number => Math.ceil((groups * 32) / ext4Block);

/** Groups with a copy of the superblock (sparse_super): 0, 1 and the powers of 3, 5 and 7. */
function backupGroups(groups: number): number {
  const found = new Set([0, 1]);
  for (const base of [3, 5, 7]) for (let power = base; power < groups; power *= base) found.add(power);
  return [...found].filter((group) => group < groups).length;
}

/** The smallest partition, in bytes (whole MiB), whose files may have `content` bytes. */
function sizeThatHolds(role: Role, content: number): number {
  let size = Math.ceil(content / mebibyte) * mebibyte;
  while (usableBytes(role, size) < content) size += mebibyte;
  return size;
}
