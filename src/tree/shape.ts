import { readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { putDirectory, removePath } from './write.ts';

/**
 * The last step: OSTree's shape. What the layers put into /var becomes the factory copy that the image and the first
 * boot seed from; /etc becomes /usr/etc, which each deployment copies.
 */
export async function shapeForOstree(root: string): Promise<void> {
  await putDirectory(root, 'usr/share/factory');
  await removePath(root, 'usr/share/factory/var');
  await rename(join(root, 'var'), join(root, 'usr/share/factory/var'));
  // OSTree makes these links into /run, which is empty at every boot.
  for (const path of ['run', 'lock']) await removePath(root, `usr/share/factory/var/${path}`);
  await putDirectory(root, 'var');
  for (const path of ['home', 'opt', 'srv', 'mnt', 'media', 'lib', 'log', 'cache', 'spool']) {
    await putDirectory(root, `usr/share/factory/var/${path}`);
  }
  await putDirectory(root, 'usr/share/factory/var/roothome', { mode: 0o700 });
  await putDirectory(root, 'usr/share/factory/var/tmp', { mode: 0o1777 });
  for (const path of ['dev', 'proc', 'run', 'sys', 'tmp']) await emptyDirectory(root, path);
  await removePath(root, 'usr/etc');
  await rename(join(root, 'etc'), join(root, 'usr/etc'));
}

async function emptyDirectory(root: string, path: string): Promise<void> {
  for (const name of await readdir(join(root, path))) await removePath(root, `${path}/${name}`);
}
