import { lstat, readlink } from 'node:fs/promises';
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
    const link = isLast && last === 'keep' ? undefined : await linkText(join(root, here));
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

async function linkText(path: string): Promise<string | undefined> {
  const stat = await lstat(path).catch(() => undefined);
  return stat?.isSymbolicLink() ? readlink(path) : undefined;
}
