import { putDirectory, putLink } from './write.ts';

/** The directories and links that every tree has at its root, after OSTree's "Adapting existing mainstream distributions". */
export async function makeSkeleton(root: string): Promise<void> {
  for (const path of [
    'usr/bin',
    'usr/sbin',
    'usr/lib',
    'usr/lib64',
    'etc',
    'var',
    'boot',
    'dev',
    'proc',
    'run',
    'sys',
    'sysroot',
  ]) {
    await putDirectory(root, path);
  }
  for (const path of ['tmp', 'var/tmp']) await putDirectory(root, path, { mode: 0o1777 });
  // Before a layer's files make it, as /root/…, with the mode of any directory.
  await putDirectory(root, 'var/roothome', { mode: 0o700 });
  for (const path of ['bin', 'sbin', 'lib', 'lib64']) await putLink(root, path, `usr/${path}`);
  for (const path of ['home', 'opt', 'srv', 'mnt', 'media']) await putLink(root, path, `var/${path}`);
  await putLink(root, 'root', 'var/roothome');
  await putLink(root, 'ostree', 'sysroot/ostree');
}
