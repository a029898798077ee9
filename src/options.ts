import type { PackageOptions } from './packages/backend.ts';
import type { Request } from './model.ts';
import type { NamedKeys } from './ostree/user-keys.ts';
import type { Replay } from './replay.ts';

/** What the command line said about an image, remembered so that build-update builds the same one again. Paths are absolute. */
export interface Asked {
  services?: readonly string[];
  overlays?: readonly string[];
  mirrors?: readonly string[];
  lock?: string;
  layout?: string;
  sshKeys?: readonly string[];
  updateUrl?: string;
  flat?: boolean;
  qcow2?: boolean;
}

/** All that decides one build, with every default filled in. */
export interface BuildOptions {
  request: Request;
  /** For people: why this base and no other: `--base`, `treeline.yaml`, … */
  baseReason: string;
  packages: PackageOptions;
  /** Partition table of a disk image, absolute. */
  layout: string;
  /** Public key files, absolute. */
  sshKeys: readonly string[];
  /** Where a running system looks for updates; empty: what the layers say. */
  updateUrl: string;
  /** How many releases of a ref stay in the output directory; at least 1. */
  keep: number;
  /** Templates also as a plain root filesystem without OSTree, for hosts that forbid mounts. */
  flat: boolean;
  /** Disk images also in QEMU's own format, compressed. */
  qcow2: boolean;
  /** Seconds since 1970 that stand for "now" (SOURCE_DATE_EPOCH); undefined: the newest package's build date. */
  epoch: number | undefined;
  /** Make everything anew, whatever is kept of it. */
  force: boolean;
  /** Tell of each stage why it ran, or did not. */
  explainCache: boolean;
  /** The published release that is built again; undefined: a new one is built. */
  replay?: Replay | undefined;
  asked: Asked;
}

/** How updates are signed and offered, for all images of a workspace. */
export interface PublishOptions {
  /** Of the user's own GnuPG; undefined: the workspace's keys. */
  signKeys: NamedKeys | undefined;
  /** From how many of the last releases a delta leads to the new one; at least 1. */
  deltas: number;
  /** How long a signature of the index is good. */
  validDays: number;
}
