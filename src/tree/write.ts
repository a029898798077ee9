import {
  chmod,
  copyFile,
  lchown,
  lstat,
  mkdir,
  readFile,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { dirname } from 'node:path';
import { resolveInTree } from './paths.ts';

/**
 * The only ways in which a tree is changed. A tree's files may be hard links into the repository, so a file is always
 * replaced, never written into; paths are relative to the tree and cannot leave it.
 */

export interface Ownership {
  uid?: number;
  gid?: number;
}

export async function putFile(
  root: string,
  path: string,
  content: string | Uint8Array,
  { mode = 0o644, uid = 0, gid = 0 }: Ownership & { mode?: number } = {},
): Promise<void> {
  const place = await clearPlace(root, path);
  await writeFile(place, content);
  await lchown(place, uid, gid);
  await chmod(place, mode);
}

export async function putCopy(
  root: string,
  path: string,
  source: string,
  { mode = 0o644, uid = 0, gid = 0 }: Ownership & { mode?: number } = {},
): Promise<void> {
  const place = await clearPlace(root, path);
  await copyFile(source, place);
  await lchown(place, uid, gid);
  await chmod(place, mode);
}

export async function putLink(
  root: string,
  path: string,
  target: string,
  { uid = 0, gid = 0 }: Ownership = {},
): Promise<void> {
  const place = await clearPlace(root, path);
  await symlink(target, place);
  await lchown(place, uid, gid);
}

/** Makes a directory with this mode and owner; one that is there already stays as it is. */
export async function putDirectory(
  root: string,
  path: string,
  { mode = 0o755, uid = 0, gid = 0 }: Ownership & { mode?: number } = {},
): Promise<void> {
  const place = await resolveInTree(root, path, 'follow');
  if (!(await makeDirectories(place))) return;
  await lchown(place, uid, gid);
  await chmod(place, mode);
}

/** Gives what is at `path` a mode and an owner; what is undefined stays. A file is copied first: it may be a hard link. */
export async function setPermissions(
  root: string,
  path: string,
  { mode, uid, gid }: { mode?: number | undefined; uid?: number | undefined; gid?: number | undefined },
): Promise<void> {
  const place = await resolveInTree(root, path);
  const stat = await lstat(place);
  if (stat.isFile()) {
    const copy = `${place}.treeline-copy`;
    await copyFile(place, copy);
    await rename(copy, place);
  }
  await lchown(place, uid ?? stat.uid, gid ?? stat.gid);
  if (!stat.isSymbolicLink()) await chmod(place, mode ?? stat.mode & 0o7777);
}

/** Removes a file, link or directory; nothing happens where there is none. */
export async function removePath(root: string, path: string): Promise<void> {
  await rm(await resolveInTree(root, path), { recursive: true, force: true });
}

export async function existsInTree(root: string, path: string): Promise<boolean> {
  const place = await resolveInTree(root, path);
  return lstat(place).then(
    () => true,
    () => false,
  );
}

export const readInTree = async (root: string, path: string): Promise<string> =>
  readFile(await resolveInTree(root, path, 'follow'), 'utf8');

async function clearPlace(root: string, path: string): Promise<string> {
  const place = await resolveInTree(root, path);
  await makeDirectories(dirname(place));
  await rm(place, { recursive: true, force: true });
  return place;
}

/** Makes a directory and those above it, with the same mode whatever the caller's umask; false where it was there. */
async function makeDirectories(path: string): Promise<boolean> {
  const first = await mkdir(path, { recursive: true });
  if (first === undefined) return false;
  for (let made = path; made.length >= first.length; made = dirname(made)) await chmod(made, 0o755);
  return true;
}
