import {
  lchown,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
  unlink,
} from 'node:fs/promises';
import { dirname, join, posix } from 'node:path';
import { TreelineError } from '../host/errors.ts';
import { rootLinks, throughRootLinks } from '../recipe/tree-paths.ts';

/**
 * Moves what packages brought at the root to where every tree has it: /bin, /sbin, /lib… below /usr, /home, /root, /opt…
 * below /var (see rootLinks). Links keep leading where they led. Throws 'package' where both places have a file of one
 * name and they differ.
 */
export async function mergeUsr(root: string): Promise<void> {
  await refuseLinkedParents(root);
  for (const [name, target] of rootLinks) {
    const stat = await lstat(join(root, name)).catch(() => undefined);
    if (stat === undefined) continue;
    if (stat.isDirectory()) await moveInto(root, name, target);
    else await unlink(join(root, name));
  }
}

/** A script of a package may have put a link there, which on this machine would lead out of the tree. */
async function refuseLinkedParents(root: string): Promise<void> {
  for (const name of new Set([...rootLinks.values()].map((target) => posix.dirname(target)))) {
    const stat = await lstat(join(root, name)).catch(() => undefined);
    if (stat === undefined || stat.isDirectory()) continue;
    throw new TreelineError('package', `Cannot use the packages’ /${name}: it must be a directory`, {
      hint: 'A package or a script of one put something else there: leave that package out.',
    });
  }
}

async function moveInto(root: string, from: string, to: string): Promise<void> {
  const [source, target] = [join(root, from), join(root, to)];
  const there = await lstat(target).catch(() => undefined);
  if (there === undefined) {
    await relink(root, from, to);
    await mkdir(dirname(target), { recursive: true });
    await rename(source, target);
    return;
  }
  const here = await lstat(source);
  if (here.isDirectory() && there.isDirectory()) {
    for (const name of await readdir(source)) await moveInto(root, `${from}/${name}`, `${to}/${name}`);
    await rm(source, { recursive: true });
    return;
  }
  const [hereLeads, thereLeads] = [await leadsTo(root, from), await leadsTo(root, to)];
  // A link in one place to the file in the other, or one of busybox's links beside the program itself: the file stays.
  if (thereLeads !== undefined && (thereLeads === throughRootLinks(from) || applets.has(thereLeads))) {
    await unlink(target);
    await relink(root, from, to);
    await rename(source, target);
    return;
  }
  const same =
    (hereLeads !== undefined && (hereLeads === throughRootLinks(to) || hereLeads === thereLeads)) ||
    applets.has(hereLeads ?? '') ||
    (here.isFile() && there.isFile() && (await isSameFile(source, target)));
  if (same) {
    await unlink(source);
    return;
  }
  throw new TreelineError(
    'package',
    `Cannot merge /${from} into /${to}: packages brought both, and they differ`,
    {
      hint: 'Leave one of the packages out, or keep one of the files away with the setting exclude of a layer.',
    },
  );
}

/** What busybox's links lead to; bbsuid is its part that is setuid. */
const applets: ReadonlySet<string> = new Set(['usr/bin/busybox', 'usr/bin/bbsuid']);

/** Where a link leads, as a path in the merged tree, one step far; undefined for what is no link. */
async function leadsTo(root: string, path: string): Promise<string | undefined> {
  if (!(await lstat(join(root, path))).isSymbolicLink()) return undefined;
  const text = await readlink(join(root, path));
  return throughRootLinks(goalOf(path, text));
}

/** The path, relative to the root, that a link at `path` with this text names: above the root is the root again. */
const goalOf = (path: string, text: string): string => posix.resolve('/', posix.dirname(path), text).slice(1);

async function isSameFile(one: string, other: string): Promise<boolean> {
  const facts = async (path: string): Promise<string> => {
    const { mode, uid, gid } = await lstat(path);
    return `${mode} ${uid} ${gid}`;
  };
  if ((await facts(one)) !== (await facts(other))) return false;
  return (await readFile(one)).equals(await readFile(other));
}

/** Relative links that lead out of the directory that moves would lead elsewhere: they are written anew. */
async function relink(root: string, from: string, to: string): Promise<void> {
  const stat = await lstat(join(root, from));
  if (stat.isDirectory()) {
    for (const name of await readdir(join(root, from)))
      await relink(root, `${from}/${name}`, `${to}/${name}`);
    return;
  }
  if (!stat.isSymbolicLink()) return;
  const text = await readlink(join(root, from));
  if (text.startsWith('/')) return;
  const goal = throughRootLinks(goalOf(from, text));
  if (throughRootLinks(goalOf(to, text)) === goal) return;
  const { uid, gid } = stat;
  await unlink(join(root, from));
  const fromNewPlace = posix.relative(posix.join('/', posix.dirname(to)), `/${goal}`);
  await symlink(fromNewPlace === '' ? '.' : fromNewPlace, join(root, from));
  await lchown(join(root, from), uid, gid);
}
