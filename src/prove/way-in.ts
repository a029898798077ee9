import { join } from 'node:path';
import { listTree } from '../host/files.ts';
import type { Entry } from '../host/files.ts';
import { TreelineError } from '../host/errors.ts';
import type { Host } from '../host/host.ts';
import { debug } from '../image/disk/ext4.ts';
import type { Release } from '../model.ts';

/**
 * Lets us into the copy of a disk image, whoever may log in to it: adds the files of `rootfs` (absolute) to its
 * deployment. They are new files in /etc, so an upgrade and a rollback take them along, and nothing of the image changes.
 */
export async function letIn(
  host: Host,
  { disk, release: { manifest }, rootfs }: { disk: string; release: Release; rootfs: string },
): Promise<void> {
  const partition = manifest.partitions.find(({ role }) => role === 'rootfs');
  if (partition?.filesystem !== 'ext4') {
    throw new TreelineError('update', `its manifest names no rootfs partition with ext4`);
  }
  await debug(host, {
    target: `${disk}?offset=${partition.start}`,
    script: additions(await listTree(rootfs), {
      rootfs,
      deployment: `/ostree/deploy/treeline/deploy/${manifest.commit}.0`,
    }),
    args: ['-w'],
    env: {},
  });
}

/** debugfs's commands that add files and links to directories that exist, as root's. */
export function additions(
  entries: readonly Entry[],
  { rootfs, deployment }: { rootfs: string; deployment: string },
): string[] {
  return entries.flatMap(({ path, kind, mode, link }) => {
    const target = `${deployment}/${path}`;
    const own = ['uid', 'gid'].map((field) => `set_inode_field ${target} ${field} 0`);
    if (kind === 'symlink') return [`symlink ${target} ${link}`, ...own];
    if (kind !== 'file') return [];
    const fileMode = `set_inode_field ${target} mode 0${(0o100000 | mode).toString(8)}`;
    return [`write "${join(rootfs, path)}" ${target}`, fileMode, ...own];
  });
}
