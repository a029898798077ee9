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
  const usr = join(directory, 'usr');
  await ostree(host, ['checkout', '--require-hardlinks', '--subpath=/usr', commit.id, usr], {
    doing: `lay out ${commit.ref} ${commit.version}`,
  });
  if ((await readEntry(join(usr, 'bin/ostree'))) === undefined) return undefined;
  const devices = await makeDevices(host);
  return ({ repository, delta }) => ({
    // bwrap does not wait for what runs in a process namespace of its own making, and then nobody could say how much it used.
    program: 'unshare',
    args: [
      ...['--pid', '--fork', '--kill-child', 'bwrap'],
      ...sandboxNamespaces.filter((option) => option !== '--unshare-pid'),
      ...['--die-with-parent', '--clearenv', ...sandboxCapabilities],
      ...['--ro-bind', usr, '/usr', ...sandboxProc('/proc')],
      ...['/tmp', '/run', '/var/tmp'].flatMap((place) => ['--tmpfs', place]),
      ...['bin', 'sbin', 'lib', 'lib64'].flatMap((name) => ['--symlink', `usr/${name}`, `/${name}`]),
      ...['--symlink', 'usr/etc', '/etc', ...sandboxDevices(devices, '/dev')],
      ...['--bind', repository, '/repo', '--ro-bind', delta, '/delta'],
      ...Object.entries(variables).flatMap(([name, value]) => ['--setenv', name, value]),
      ...['--chdir', '/', '/usr/bin/ostree', ...applyOffline('/repo', '/delta')],
    ],
  });
}

const variables = { PATH: '/usr/sbin:/usr/bin', HOME: '/tmp', LC_ALL: 'C.UTF-8' };

const applyOffline = (repository: string, delta: string): string[] => [
  `--repo=${repository}`,
  'static-delta',
  'apply-offline',
  delta,
];
