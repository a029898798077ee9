import { lstatSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { TreelineError } from '../host/errors.ts';

/**
 * Where `path` (relative to the tree) really lies, symlinks in its parents followed as the running system would
 * follow them: an absolute link starts at the tree's root, and nothing leads out of it. The last component is followed
 * only with `last: 'follow'`. Throws 'recipe' on a loop.
 */
export async function resolveInTree(
  root: string,
  path: string,
  last: 'keep' | 'follow' = 'keep',
): Promise<string> {
  const pending = path.split('/').filter((part) => part !== '' && part !== '.');
  const resolved: string[] = [];
  for (let links = 0; pending.length > 0;) {
    const part = pending.shift()!;
    if (part === '..') {
      resolved.pop();
      continue;
    }
    const here = [...resolved, part].join('/');
    const isLast = pending.length === 0;
    const link = isLast && last === 'keep' ? undefined : linkText(join(root, here));
    if (link === undefined) {
      resolved.push(part);
      continue;
    }
    links += 1;
    if (links > 40)
      throw new TreelineError('recipe', `Cannot place /${path} in the tree: too many levels of symlinks`);
    if (link.startsWith('/')) resolved.length = 0;
    pending.unshift(...link.split('/').filter((name) => name !== '' && name !== '.'));
  }
  return join(root, ...resolved);
}

/** Synchronous: a tree has thousands of paths, and a promise costs ten times the system call. */
const linkText = (path: string): string | undefined =>
  lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true ? readlinkSync(path) : undefined;
