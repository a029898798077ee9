import { sha256 } from '../../host/files.ts';
import type { PartitionRecord } from '../../model.ts';
import type { Layout, LayoutPartition } from './layout.ts';
import type { Role } from './roles.ts';
import { partitionOf } from './roles.ts';

/** A partition with all that identifies it; start and size in bytes. */
export interface PlannedPartition extends LayoutPartition {
  filesystem: PartitionRecord['filesystem'];
  /** Of the filesystem: `XXXX-XXXX` for FAT, empty where there is none. */
  uuid: string;
  /** Of the filesystem. */
  label: string;
  /** In the partition table (GPT). */
  partitionUuid: string;
  /** The seed of ext4's directory hashes. */
  hashSeed: string;
}

/** All that is decided about a disk before its first byte is written. */
export interface DiskPlan {
  layout: Layout;
  /** The disk's id in the partition table: a UUID (GPT), or 0x and eight digits (DOS). */
  labelId: string;
  diskBytes: number;
  partitions: readonly PlannedPartition[];
  /** For the kernel argument `root=UUID=`. */
  rootUuid: string;
  /** What the boot loader looks for. */
  bootUuid: string;
}

const filesystems: Readonly<Record<Role, { filesystem: PartitionRecord['filesystem']; label: string }>> = {
  'bios-boot': { filesystem: 'none', label: '' },
  esp: { filesystem: 'vfat', label: 'TREELINE' },
  boot: { filesystem: 'ext4', label: 'treeline-boot' },
  swap: { filesystem: 'swap', label: 'treeline-swap' },
  rootfs: { filesystem: 'ext4', label: 'treeline-root' },
};

/** Every id follows from `seed` (say, a commit) and what it identifies; the same seed gives the same disk. */
export function planDisk(layout: Layout, seed: string): DiskPlan {
  const partitions = layout.partitions.map((partition): PlannedPartition => {
    const { filesystem, label } = filesystems[partition.role];
    return {
      ...partition,
      filesystem,
      label,
      uuid: filesystemId(filesystem, `${seed} ${partition.role} filesystem`),
      partitionUuid: partition.uuid ?? uuidOf(`${seed} ${partition.role} partition`),
      hashSeed: uuidOf(`${seed} ${partition.role} directory hash`),
    };
  });
  return {
    layout,
    labelId: layout.labelId ?? diskId(layout.label, `${seed} disk`),
    diskBytes: layout.diskBytes,
    partitions,
    rootUuid: partitionOf(partitions, 'rootfs').uuid,
    bootUuid: partitionOf(partitions, 'boot').uuid,
  };
}

/** A UUID of version 8 (RFC 9562): its bits are the beginning of a SHA-256. */
function uuidOf(text: string): string {
  const digits = sha256(text);
  const variant = ((Number.parseInt(digits[16]!, 16) & 3) | 8).toString(16);
  const parts = [
    digits.slice(0, 8),
    digits.slice(8, 12),
    `8${digits.slice(13, 16)}`,
    variant + digits.slice(17, 20),
  ];
  return [...parts, digits.slice(20, 32)].join('-');
}

function filesystemId(filesystem: PartitionRecord['filesystem'], text: string): string {
  if (filesystem === 'none') return '';
  if (filesystem !== 'vfat') return uuidOf(text);
  const digits = sha256(text).slice(0, 8).toUpperCase();
  return `${digits.slice(0, 4)}-${digits.slice(4)}`;
}

const diskId = (label: 'gpt' | 'dos', text: string): string =>
  label === 'gpt' ? uuidOf(text) : `0x${sha256(text).slice(0, 8)}`;
