/**
 * The types that flow through the rooms, each made in one of them and only from the one before:
 *
 *   Request ─recipe/─► Recipe ─packages/─► Lock ─► PackageSet ─tree/─► Tree ─ostree/─► Commit, Delta
 *           Commit ─image/─► Artifact ─release/─► Release
 */

/** CPU architectures, by the kernel's names. */
export type Architecture = 'x86_64' | 'aarch64';

/** What a tree must run on. */
export type Target = 'vm' | 'ovz' | 'lxc';
export const targets: readonly Target[] = ['vm', 'ovz', 'lxc'];

// ── recipe/ ────────────────────────────────────────────────────────────────────────────────────────────────

/** Which image a user asked for, before any layer is read. */
export interface Request {
  /** The directory that holds common/, base/, target/ and service/. */
  overlays: string;
  /** Base name, e.g. `debian`; with a release behind a dash where it is not the base's default: `debian-12`. */
  base: string;
  arch: Architecture;
  target: Target;
  services: readonly string[];
  /** The user's own layers, absolute, general to specific. */
  extraLayers: readonly string[];
}

/** Where a value of the recipe came from. */
export interface Origin {
  /** The layer's name, e.g. `base/debian/12` or the path of an --overlay directory. */
  layer: string;
  /** Absolute. */
  file: string;
  /** Counted from 1; absent where the whole file is meant. */
  line?: number;
}

export interface Layer {
  name: string;
  /** Absolute. */
  directory: string;
}

export interface RequestedPackage {
  /** The distribution's own name, after pkg-map. */
  name: string;
  origin: Origin;
}

/** A repository of packages below a mirror, or at a place of its own. */
export interface Repository {
  /** `main`: the directory below MIRROR/RELEASE, where `url` is absent. */
  name: string;
  /** URL or absolute directory that holds ARCH/APKINDEX.tar.gz. */
  url?: string;
  /** Only packages that are asked for as NAME@TAG come from it. */
  tag?: string;
  /** The keys that may sign it. */
  keys: readonly KeyFile[];
  origin: Origin;
}

/** A public key that a layer pins. */
export interface KeyFile {
  /** As signatures name it: `NAME.rsa.pub`. */
  name: string;
  /** Absolute. */
  path: string;
}

/** A file, link or directory that a layer lays over the tree. */
export interface OverlayFile {
  /** In the tree, relative, no leading slash: `etc/motd`. */
  path: string;
  kind: 'file' | 'directory' | 'symlink';
  /** Absolute; the layer's file to copy. For a symlink, `link` is what counts. */
  source: string;
  link?: string;
  /** Permission bits. */
  mode: number;
  uid: number;
  gid: number;
  origin: Origin;
}

/** When a hook runs, after diskimage-builder. `root`, `extra-data`, `cleanup`: on the host; the others: inside the tree. */
export const hookPhases = [
  'root',
  'extra-data',
  'pre-install',
  'install',
  'post-install',
  'finalise',
  'cleanup',
] as const;
export type HookPhase = (typeof hookPhases)[number];

export interface Hook {
  phase: HookPhase;
  /** File name, `NN-name`; hooks of a phase run in the order of these. */
  name: string;
  /** Absolute. */
  path: string;
  origin: Origin;
}

export interface User {
  name: string;
  uid: number;
  /** Name of the primary group. */
  group: string;
  home: string;
  shell: string;
  gecos: string;
  /** A crypt(3) hash, `*` (no password login) by default. */
  password: string;
}

export interface Group {
  name: string;
  gid: number;
  members: readonly string[];
}

/** OpenRC's runlevels. */
export const runlevels = ['sysinit', 'boot', 'default', 'nonetwork', 'shutdown'] as const;
export type Runlevel = (typeof runlevels)[number];

/** The distribution facts that a base's layers give. */
export interface Distribution {
  /** Lower case, as in refs and os-release ID: `debian`. */
  id: string;
  /** For people: `Debian GNU/Linux`. */
  name: string;
  /** As in refs and os-release VERSION_ID: `12`. */
  release: string;
  /** Archive suite, where the distribution has one: `bookworm`. */
  codename: string;
  /** Which package backend installs it. */
  packages: 'deb' | 'apk';
  /** The distribution's own name for the request's architecture: `amd64`. */
  architecture: string;
}

/** All layers of one image merged. */
export interface Recipe {
  request: Request;
  distribution: Distribution;
  /** `treeline/<distro>-<release>/<arch>/<target>`. */
  ref: string;
  /** General to specific; only those that exist. */
  layers: readonly Layer[];
  /** Sorted by name. */
  packages: readonly RequestedPackage[];
  /** Packages that the resolver takes as installed, because the tree has something in their place. Sorted. */
  provided: readonly RequestedPackage[];
  /** In order of preference; empty where the package backend has its own notion of them. */
  repositories: readonly Repository[];
  /** Sorted by path. */
  files: readonly OverlayFile[];
  /** In the order they run: phases in order, then by name, then general to specific. */
  hooks: readonly Hook[];
  settings: Settings;
  /** Setting path (`kernel.arguments[0]`, `users.root`) → where it came from, for `explain`. */
  origins: ReadonlyMap<string, Origin>;
  /** Everything above that decides the output, by names for people: contents, not paths on this machine. */
  parts: Readonly<Record<string, string>>;
  /** SHA-256 over the parts. */
  digest: string;
}

/** `layer.yaml` of all layers, merged. */
export interface Settings {
  hostname: string;
  /** Where packages come from, in order of preference; empty: the host's own apt sources (base debian). */
  mirrors: readonly string[];
  /** Paths and globs (relative to the tree's root) of packages that do not enter the tree. */
  exclude: readonly string[];
  /** Paths in the tree that packages may give the setuid or setgid bit. */
  setuid: readonly string[];
  users: readonly User[];
  groups: readonly Group[];
  /** OpenRC services by runlevel, sorted. */
  services: Readonly<Record<Runlevel, readonly string[]>>;
  kernel: {
    /** Whether the tree has a kernel and an initramfs at all. */
    enabled: boolean;
    /** Added to the kernel's command line, in order. */
    arguments: readonly string[];
    /** Globs below `kernel/` of usr/lib/modules/<kver> that stay; what they need stays too. Empty: all stay. */
    modules: readonly string[];
    /** Names of modules that the initramfs holds, with what they need. */
    initramfs: readonly string[];
  };
  update: {
    /** Base URL of the release directory that a running system asks; empty: none built in. */
    url: string;
  };
  /** Modes and owners that the file system of a layer cannot say; path relative to the tree. */
  permissions: readonly {
    path: string;
    mode?: number | undefined;
    uid?: number | undefined;
    gid?: number | undefined;
  }[];
}

// ── packages/ ──────────────────────────────────────────────────────────────────────────────────────────────

export interface LockedPackage {
  name: string;
  version: string;
  architecture: string;
  /** Where it was found: the file's URL (deb), or the name of the repository that has it (apk). */
  source: string;
  /** Bytes of the package file. */
  size: number;
  /**
   * What the distribution's signed index says: `sha256:` and 64 hexadecimal digits over the file (deb), or `Q1` and the
   * base64 SHA-1 over the compressed control member, which in turn has the SHA-256 of the data (apk).
   */
  checksum: string;
}

/** The exact packages that a recipe resolves to, sorted by name. */
export interface Lock {
  distribution: Distribution;
  packages: readonly LockedPackage[];
  /** What the installation itself is run with (apk's own packages), sorted by name; it is not in the tree because of that. */
  tools: readonly LockedPackage[];
  /** SHA-256 over packages and tools; where they came from does not count. */
  digest: string;
}

/** Every package of a lock as a verified file on this machine. */
export interface PackageSet {
  lock: Lock;
  files: readonly { package: LockedPackage; path: string }[];
  /** Seconds since 1970: the newest build date among them. */
  newest: number;
  /**
   * Installs all of them into a root (absolute) that does not exist yet, where the distribution has a way of its own;
   * undefined: each file is unpacked as it is.
   */
  install?: (root: string) => Promise<void>;
}

// ── tree/ ──────────────────────────────────────────────────────────────────────────────────────────────────

/** A finished root filesystem in OSTree shape, in a directory of its own. */
export interface Tree {
  /** Absolute. */
  directory: string;
  recipe: Recipe;
  lock: Lock;
  /** Seconds since 1970 that stand for "now" in all that is made of it. */
  epoch: number;
  /** Kernel version, or undefined where the target brings its own kernel. */
  kernel: string | undefined;
}

// ── ostree/ ────────────────────────────────────────────────────────────────────────────────────────────────

export interface Commit {
  ref: string;
  /** 64 hexadecimal digits. */
  id: string;
  /** The commit before it on the ref. */
  parent: string | undefined;
  /** `<date of the newest package>.<n>`, e.g. `20251104.0`. */
  version: string;
  /** Seconds since 1970. */
  timestamp: number;
}

/** A static delta in one inline file, as it was made. */
export interface UnprovenDelta {
  /** undefined: from nothing. */
  from: Commit | undefined;
  to: Commit;
  /** Absolute. */
  path: string;
  bytes: number;
  sha256: string;
  /** Bytes of memory that applying it needs, rounded up to whole MiB. */
  memory: number;
}

/** A delta that was applied, and gave the commit. */
export interface Delta extends UnprovenDelta {
  /** Bytes that what it adds takes in a repository, by blocks of 4 KiB. */
  unpackedBytes: number;
  /** The same in fewer bytes, where only what changed inside the kernel travels. */
  pair?: KernelPair | undefined;
}

/** A file of a delta's bytes. */
export interface DeltaFile {
  /** Absolute. */
  path: string;
  bytes: number;
  sha256: string;
  /** Bytes that applying it takes on the disk, for a while or for good. */
  unpackedBytes: number;
}

/** Two deltas in place of one: what changed inside the kernel, and the rest. Proved like the one. */
export interface KernelPair {
  /** From the commit of the old kernel's parts to that of the new one's. */
  kernel: DeltaFile & { from: string; to: string };
  /** From the commit of the old tree with the new kernel beside it to the new commit. */
  rest: DeltaFile & { from: string };
  /** Bytes of memory that the two need, one after the other. */
  memory: number;
}

// ── image/ ─────────────────────────────────────────────────────────────────────────────────────────────────

/** A file that people download. */
export interface Artifact {
  kind: 'disk-image' | 'squashfs' | 'tarball' | 'metadata' | 'config';
  /** Absolute. */
  path: string;
  /** Length in bytes, holes counted. */
  bytes: number;
  sha256: string;
}

/** One partition of a disk image as it was made; start and size in bytes. */
export interface PartitionRecord {
  name: string;
  role: 'bios-boot' | 'esp' | 'boot' | 'swap' | 'rootfs' | 'other';
  start: number;
  size: number;
  filesystem: 'ext4' | 'vfat' | 'swap' | 'none';
  uuid: string;
}

// ── release/ ───────────────────────────────────────────────────────────────────────────────────────────────

/** What stands in `manifest.json` beside the artifacts of one commit. */
export interface Manifest {
  ref: string;
  commit: string;
  parent: string | null;
  version: string;
  timestamp: number;
  recipe: string;
  lock: string;
  /** SHA-256 over all that decided the artifacts; the same inputs need not be built again. */
  inputs: string;
  packages: readonly { name: string; version: string }[];
  partitions: readonly PartitionRecord[];
  artifacts: readonly { file: string; kind: Artifact['kind']; bytes: number; sha256: string }[];
}

/** A directory of artifacts with its manifest. */
export interface Release {
  /** Absolute. */
  directory: string;
  manifest: Manifest;
}
