import { join } from 'node:path';
import type { Command } from '../host/command.ts';
import { readEntry } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import {
  makeDevices,
  sandboxCapabilities,
  sandboxDevices,
  sandboxNamespaces,
  sandboxProc,
} from '../host/sandbox.ts';
import type { Commit } from '../model.ts';
import { ostree } from './repository.ts';

/** The command that applies a delta file to a repository, both absolute. */
export type Applier = (paths: { repository: string; delta: string }) => Pick<Command, 'program' | 'args'>;

/** This machine's own ostree. */
export const hostApplier: Applier = ({ repository, delta }) => ({
  program: 'ostree',
  args: applyOffline(repository, delta),
});

/**
 * The ostree of a commit's own tree, run inside it: read-only, without network, nothing writable but the repository.
 * undefined where the tree has no such program. `directory`: scratch, on the file system of the workspace's repository.
 */
export async function treeApplier(
  host: Host,
  commit: Commit,
  directory: string,
): Promise<Applier | undefined> {
  const tree = await openTreeSandbox(host, commit, directory);
  if (!(await tree.has('bin/ostree'))) return undefined;
  return ({ repository, delta }) =>
    tree.run(['/usr/bin/ostree', ...applyOffline('/repo', '/delta')], {
      writable: { '/repo': repository },
      readable: { '/delta': delta },
    });
}

/** A commit's own programs, run inside its tree. */
export interface TreeSandbox {
  /** Whether there is such a file below /usr. */
  has(path: string): Promise<boolean>;
  /** Files and directories of this machine, absolute, by their absolute places in the sandbox. */
  run(
    command: readonly string[],
    places: { writable?: Readonly<Record<string, string>>; readable?: Readonly<Record<string, string>> },
  ): Pick<Command, 'program' | 'args'>;
}

/** Lays the tree's /usr out in `directory`, which is on the file system of the workspace's repository. */
export async function openTreeSandbox(host: Host, commit: Commit, directory: string): Promise<TreeSandbox> {
  const usr = join(directory, 'usr');
  await ostree(host, ['checkout', '--require-hardlinks', '--subpath=/usr', commit.id, usr], {
    doing: `lay out ${commit.ref} ${commit.version}`,
  });
  const devices = await makeDevices(host);
  const bind = (option: string, places: Readonly<Record<string, string>>): string[] =>
    Object.entries(places).flatMap(([place, path]) => [option, path, place]);
  return {
    has: async (path) => (await readEntry(join(usr, path))) !== undefined,
    run: (command, { writable = {}, readable = {} }) => ({
      program: 'bwrap',
      args: [
        ...sandboxNamespaces,
        ...['--die-with-parent', '--clearenv', ...sandboxCapabilities],
        ...['--ro-bind', usr, '/usr', ...sandboxProc('/proc')],
        ...['/tmp', '/run', '/var/tmp'].flatMap((place) => ['--tmpfs', place]),
        ...['bin', 'sbin', 'lib', 'lib64'].flatMap((name) => ['--symlink', `usr/${name}`, `/${name}`]),
        ...['--symlink', 'usr/etc', '/etc', ...sandboxDevices(devices, '/dev')],
        ...bind('--bind', writable),
        ...bind('--ro-bind', readable),
        ...Object.entries(variables).flatMap(([name, value]) => ['--setenv', name, value]),
        ...['--chdir', '/', ...command],
      ],
    }),
  };
}

const variables = { PATH: '/usr/sbin:/usr/bin', HOME: '/tmp', LC_ALL: 'C.UTF-8' };

const applyOffline = (repository: string, delta: string): string[] => [
  `--repo=${repository}`,
  'static-delta',
  'apply-offline',
  delta,
];
