import type { Host } from '../host/host.ts';
import { existsInTree, putLink } from './write.ts';

/** Applets that would take the place of what the tree's own init and package tools are for. */
const unwanted = new Set(['busybox', 'linuxrc', 'dpkg', 'dpkg-deb', 'rpm', 'rpm2cpio']);

/** Links every busybox applet that no package provides. Does nothing where the tree has no busybox of its own. */
export async function linkBusyboxApplets(host: Host, root: string): Promise<void> {
  if (!(await existsInTree(root, 'usr/bin/busybox'))) return;
  // Static, so it runs in a sandbox that holds nothing but the tree.
  const listed = await host.run({
    program: 'bwrap',
    args: ['--unshare-all', '--die-with-parent', '--ro-bind', root, '/', '/usr/bin/busybox', '--list-full'],
    doing: 'list the applets of the tree’s busybox',
  });
  for (const path of listed.stdout.split('\n').filter((line) => line !== '')) {
    const name = path.split('/').at(-1)!;
    const directory = path.includes('sbin/') ? 'usr/sbin' : 'usr/bin';
    if (unwanted.has(name) || (await hasProgram(root, name))) continue;
    await putLink(root, `${directory}/${name}`, directory === 'usr/bin' ? 'busybox' : '../bin/busybox');
  }
}

async function hasProgram(root: string, name: string): Promise<boolean> {
  return (await existsInTree(root, `usr/bin/${name}`)) || (await existsInTree(root, `usr/sbin/${name}`));
}
