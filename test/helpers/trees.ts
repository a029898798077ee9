import { chmodSync, cpSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { runlevels } from '../../src/model.ts';
import type { Commit, Hook, HookPhase, Lock, Recipe, Settings, Tree } from '../../src/model.ts';
import { makeLock } from '../../src/packages/lock.ts';

const distribution: Recipe['distribution'] = {
  id: 'debian',
  name: 'Debian GNU/Linux',
  release: '12',
  codename: 'bookworm',
  packages: 'deb',
  architecture: 'amd64',
};

const noServices = Object.fromEntries(
  runlevels.map((level) => [level, []]),
) as unknown as Settings['services'];

/** A recipe that asks for nothing, with these parts of it exchanged. */
export function recipe(
  parts: Partial<Omit<Recipe, 'settings'>> & { settings?: Partial<Settings> } = {},
): Recipe {
  return {
    request: { overlays: '/', base: 'debian', arch: 'x86_64', target: 'vm', services: [], extraLayers: [] },
    distribution,
    ref: 'treeline/debian-12/x86_64/vm',
    layers: [],
    packages: [],
    provided: [],
    repositories: [],
    files: [],
    hooks: [],
    origins: new Map(),
    parts: {},
    digest: 'd'.repeat(64),
    ...parts,
    settings: {
      hostname: 'test',
      mirrors: [],
      exclude: [],
      setuid: [],
      users: [],
      groups: [],
      services: noServices,
      kernel: { enabled: true, arguments: [], modules: [], initramfs: [] },
      update: { url: '' },
      permissions: [],
      ...parts.settings,
    },
  };
}

export const services = (parts: Partial<Settings['services']>): Settings['services'] => ({
  ...noServices,
  ...parts,
});

export const emptyLock: Lock = makeLock(distribution, { packages: [] });

export const treeOf = (directory: string, parts: Partial<Tree> = {}): Tree => ({
  directory,
  recipe: recipe(),
  lock: emptyLock,
  epoch: 1_762_214_400,
  kernel: undefined,
  ...parts,
});

export const commitOf = (parts: Partial<Commit> = {}): Commit => ({
  ref: 'treeline/debian-12/x86_64/vm',
  id: 'c'.repeat(64),
  parent: undefined,
  version: '20251104.0',
  timestamp: 1_762_214_400,
  ...parts,
});

/** Lays files (text), `{ link }` symlinks and null directories below a directory. */
export function layFiles(
  root: string,
  files: Readonly<Record<string, string | { link: string } | null>>,
): string {
  for (const [path, content] of Object.entries(files)) {
    const place = join(root, path);
    mkdirSync(content === null ? place : dirname(place), { recursive: true });
    if (content === null) continue;
    if (typeof content === 'string') writeFileSync(place, content);
    else symlinkSync(content.link, place);
  }
  return root;
}

/** Puts this machine's static busybox, as the shell too, into a tree. */
export function addBusybox(root: string): void {
  const busybox = ['/bin/busybox', '/usr/bin/busybox', '/bin/busybox.static'].find((path) =>
    existsSync(path),
  );
  if (busybox === undefined) throw new Error('this machine lacks a static busybox (package busybox-static)');
  mkdirSync(join(root, 'usr/bin'), { recursive: true });
  cpSync(busybox, join(root, 'usr/bin/busybox'), { dereference: true });
  chmodSync(join(root, 'usr/bin/busybox'), 0o755);
  symlinkSync('busybox', join(root, 'usr/bin/sh'));
}

/** What OSTree asks of a tree that is to be deployed, with one file to tell trees apart. */
export const deployable = (root: string, content = 'one'): string =>
  layFiles(root, {
    'usr/etc/passwd': 'root:x:0:0::/root:/bin/sh\n',
    'usr/lib/os-release': 'ID=debian\nNAME="Debian"\nPRETTY_NAME="Debian 12"\n',
    'usr/lib/modules/6.1.0/vmlinuz': 'kernel',
    'usr/lib/modules/6.1.0/initramfs.img': 'initramfs',
    'usr/share/content': content,
    'usr/share/factory/var/lib/state': 'seed',
    var: null,
    sysroot: null,
    ostree: { link: 'sysroot/ostree' },
  });

/** A hook with this text at `path`. */
export function hook(path: string, phase: HookPhase, text: string): Hook {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  chmodSync(path, 0o755);
  return { phase, name: path.split('/').at(-1)!, path, origin: { layer: 'service/test', file: path } };
}
