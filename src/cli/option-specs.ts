/** One option of a command, as `--help` shows it. */
export interface OptionSpec {
  /** What the value is called; absent: the option takes none. */
  value?: string;
  /** May be given several times. */
  multiple?: boolean;
  help: string;
}

export type OptionSpecs = Readonly<Record<string, OptionSpec>>;

const common: OptionSpecs = {
  workspace: { value: 'DIR', help: 'where repository, cache and results are kept (the checkout)' },
  output: { value: 'DIR', help: 'where the results go (out/ in the workspace)' },
  json: { help: 'print events as JSON lines' },
  quiet: { help: 'print warnings, errors and the result only' },
  help: { help: 'show this text' },
};

const recipe: OptionSpecs = {
  base: { value: 'NAME', help: 'distribution: alpine, debian, or with a release, alpine-v3.19' },
  arch: { value: 'NAME', help: 'x86_64 (the default) or aarch64' },
  target: { value: 'NAME', multiple: true, help: 'vm, ovz or lxc; may be repeated' },
  service: {
    value: 'NAME',
    multiple: true,
    help: 'add a service; NAME- leaves one of the defaults (sshd) out',
  },
  overlay: { value: 'DIR', multiple: true, help: 'add a layer of your own' },
  overlays: { value: 'DIR', help: 'the tree of layers (overlays/ of the checkout)' },
  'update-url': { value: 'URL', help: 'where the running system looks for updates' },
};

const building: OptionSpecs = {
  ...recipe,
  mirror: { value: 'URL', multiple: true, help: 'take packages from here, a URL or a directory' },
  lock: { value: 'FILE', help: 'install exactly the packages of this lock (npm run lock)' },
  offline: { help: 'use only what is in the cache' },
  refresh: { help: 'ask for new package lists even if the known ones are recent' },
  layout: { value: 'FILE', help: 'partition table, an sfdisk script (layouts/vm.cfg)' },
  'ssh-key': {
    value: 'FILE',
    multiple: true,
    help: 'public key that may log in as root (yours, from ~/.ssh)',
  },
  'no-ssh-key': { help: 'let no key in' },
  qcow2: { help: 'disk images: also as qcow2, compressed' },
  flat: { help: 'containers: also a plain root filesystem without updates' },
  keep: { value: 'N', help: 'how many releases of each image stay in the output directory (3)' },
  force: { help: 'make everything anew, even where nothing changed' },
  'explain-cache': { help: 'say of each stage why it ran, or did not' },
  'sign-key': {
    value: 'KEY',
    multiple: true,
    help: 'sign with this key of your own GnuPG, a fingerprint or user id (the workspace’s own)',
  },
};

const resolving: OptionSpecs = {
  ...recipe,
  mirror: building['mirror']!,
  offline: building['offline']!,
  refresh: building['refresh']!,
};

export interface CommandSpec {
  summary: string;
  /** What the command takes besides its options: one word. */
  operand?: { value: string; required: boolean; help: string };
  options: OptionSpecs;
}

/** Every command of the program. */
export const commands = {
  build: {
    summary: 'Build images: a disk for a virtual machine, a template for containers.',
    options: {
      ...building,
      replay: { value: 'DIR', help: 'build this published release again, in a workspace of its own' },
      ...common,
    },
  },
  'build-update': {
    summary: 'Build again; where something changed, make new images and the updates to them.',
    options: {
      ...building,
      deltas: { value: 'N', help: 'from how many of the last releases a delta leads to the new one (1)' },
      'valid-days': { value: 'N', help: 'for how many days machines believe the index (90)' },
      ...common,
    },
  },
  lock: {
    summary:
      'Write down the exact packages of images, without building them: of those that were built before, or of --target.',
    operand: {
      value: 'FILE',
      required: false,
      help: 'where the lock is written (treeline.lock.json in the workspace)',
    },
    options: { ...resolving, ...common },
  },
  vendor: {
    summary:
      'Keep the exact packages of images in a directory that serves as --mirror, also years later and without network.',
    operand: {
      value: 'DIR',
      required: true,
      help: 'the directory: new, empty, or made by this command before',
    },
    options: { ...resolving, lock: building['lock']!, ...common },
  },
  setup: {
    summary: 'Install the missing host tools, and write treeline.yaml with the base to build on.',
    options: { minimal: { help: 'only what building needs, without QEMU and LXC' }, ...common },
  },
  explain: {
    summary: 'Print the merged recipe, and which layer every value came from.',
    options: { ...recipe, ...common },
  },
  boot: {
    summary: 'Start the newest disk image in QEMU, with its console in this terminal.',
    options: {
      image: { value: 'FILE', help: 'the disk image to start (the newest built one)' },
      memory: { value: 'MIB', help: 'memory of the machine in MiB (256)' },
      port: { value: 'N', help: 'local port that leads to the machine’s ssh (the first free one from 2222)' },
      disk: { value: 'FILE|SIZE', help: 'a second disk: a file, or an empty one of this size (1G)' },
      uefi: { help: 'start by UEFI firmware instead of BIOS' },
      persist: { help: 'keep what the machine writes, in the image itself' },
      print: { help: 'print the QEMU command instead of running it' },
      ...common,
    },
  },
  keys: {
    summary: 'List the keys that sign updates, or exchange them.',
    operand: {
      value: 'rotate|retire',
      required: false,
      help: 'rotate: a new key signs beside the old one; retire: it signs alone from now on',
    },
    options: {
      force: { help: 'retire even if machines may be left behind' },
      ...common,
    },
  },
  clean: {
    summary:
      'Remove what the workspace keeps to be quick and no longer needs. Keys, and what the next updates start from, always stay.',
    options: {
      days: { value: 'N', help: 'remove what was not used for N days (30); 0: all that nothing needs' },
      all: { help: 'remove everything that a build can make or fetch again' },
      'dry-run': { help: 'only say what would go, and how many bytes' },
      ...common,
    },
  },
  prove: {
    summary:
      'Start older releases, upgrade them to the newest one, and roll back: what machines will do with it. Exit code 0: all of it worked; 1: something did not; 3: no older release is kept.',
    options: {
      base: { value: 'NAME', help: 'only images on this base: debian, or with the release, debian-12' },
      target: {
        value: 'NAME',
        multiple: true,
        help: 'vm, ovz or lxc; may be repeated (all that were built)',
      },
      memory: { value: 'MIB', help: 'memory of the virtual machines in MiB (256)' },
      uefi: { help: 'start virtual machines by UEFI firmware instead of BIOS' },
      timeout: { value: 'SECONDS', help: 'how long each step may take (900)' },
      ...common,
    },
  },
  reproduce: {
    summary:
      'Build twice, here and in other surroundings, and compare all that is published. Exit code 0: the same bits; 1: not.',
    options: {
      ...building,
      update: {
        value: 'NAME',
        help: 'the target whose update is made twice as well; none: no update (a container, if one is built)',
      },
      against: {
        value: 'DIR',
        help: 'build this published release again, and compare with it instead',
      },
      keep: { help: 'keep both directories' },
      ...common,
    },
  },
  serve: {
    summary: 'Serve the results, updates and the OSTree repository over HTTP.',
    options: {
      port: { value: 'N', help: 'port to listen on (8000)' },
      address: { value: 'ADDRESS', help: 'address to listen on (127.0.0.1)' },
      ...common,
    },
  },
} as const satisfies Record<string, CommandSpec>;

export type CommandName = keyof typeof commands;
