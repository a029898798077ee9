import { join } from 'node:path';
import { makeDirectory } from './files.ts';
import type { Host } from './host.ts';
import { makeOnce } from './make-once.ts';
import { inUserNamespace } from './user-namespace.ts';

/** Arguments of bwrap(1) that the sandboxes of a build have in common: what runs there is root in a tree, not on this machine. */
export const sandboxNamespaces: readonly string[] = ['pid', 'net', 'ipc', 'uts'].map(
  (name) => `--unshare-${name}`,
);

/** See capabilities(7): what chown, chmod, su and the like need; no device nodes, no mounts, no modules. */
export const sandboxCapabilities: readonly string[] = [
  '--cap-drop',
  'ALL',
  ...[
    'CAP_CHOWN',
    'CAP_DAC_OVERRIDE',
    'CAP_FOWNER',
    'CAP_FSETID',
    'CAP_SETGID',
    'CAP_SETUID',
    'CAP_SETFCAP',
    'CAP_SYS_CHROOT',
  ].flatMap((name) => ['--cap-add', name]),
];

/** mknod(1)'s major and minor numbers, from the kernel's Documentation/admin-guide/devices.txt. */
const devices = {
  null: [1, 3],
  zero: [1, 5],
  full: [1, 7],
  random: [1, 8],
  urandom: [1, 9],
  tty: [5, 0],
} as const;

/**
 * Device nodes for sandboxes alone, made once a command: with the host's own, a chmod in there would change the host.
 * In a user namespace, where nobody may make any, they are the host's own, whose owner has no id there: nobody may chmod them.
 * Returns their directory.
 */
export async function makeDevices(host: Host): Promise<string> {
  if (inUserNamespace()) return '/dev';
  const directory = join(host.workspace.temporary, 'devices');
  await makeOnce(directory, async (fresh) => {
    await makeDirectory(fresh);
    for (const [name, numbers] of Object.entries(devices)) {
      const args = ['--mode=0666', join(fresh, name), 'c', ...numbers.map(String)];
      await host.run({ program: 'mknod', args, doing: 'make the device nodes for the sandbox' });
    }
  });
  return directory;
}

/** An empty directory at `place` in the sandbox with these nodes: nothing of it gets into the tree below. */
export const sandboxDevices = (directory: string, place: string): string[] => [
  ...['--tmpfs', place],
  ...Object.keys(devices).flatMap((name) => ['--dev-bind', join(directory, name), `${place}/${name}`]),
];

/** /proc of the sandbox's own processes. Root may write most of /proc/sys without any capability, and it is the host's: read-only. */
export const sandboxProc = (place: string): string[] => ['--proc', place, '--remount-ro', place];
