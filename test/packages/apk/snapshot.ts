import { createHash } from 'node:crypto';
import { lstatSync, readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

/** Every path below a directory → kind, mode, owner and content of what is there; hard links name their first path. */
export function snapshot(root: string): Record<string, string> {
  const found: Record<string, string> = {};
  const first = new Map<number, string>();
  const visit = (below: string): void => {
    for (const name of readdirSync(join(root, below)).toSorted()) {
      const path = below === '' ? name : `${below}/${name}`;
      const stat = lstatSync(join(root, path));
      const facts = [(stat.mode & 0o7777).toString(8), stat.uid, stat.gid];
      if (stat.isDirectory()) {
        found[path] = ['directory', ...facts].join(' ');
        visit(path);
      } else if (stat.isSymbolicLink()) {
        found[path] = ['link', stat.uid, stat.gid, readlinkSync(join(root, path))].join(' ');
      } else if (stat.isFile()) {
        const content = createHash('sha256')
          .update(readFileSync(join(root, path)))
          .digest('hex');
        const same = stat.nlink > 1 ? (first.get(stat.ino) ?? path) : path;
        first.set(stat.ino, same);
        found[path] = ['file', ...facts, content, same === path ? '' : `is ${same}`].join(' ');
      } else {
        found[path] = ['special', ...facts].join(' ');
      }
    }
  };
  visit('');
  return found;
}

/** Paths whose entries differ, sorted, each with what it is on either side. */
export function differences(
  one: Readonly<Record<string, string>>,
  other: Readonly<Record<string, string>>,
): string[] {
  return [...new Set([...Object.keys(one), ...Object.keys(other)])]
    .filter((path) => one[path] !== other[path])
    .toSorted()
    .map((path) => `${path}: ${one[path] ?? 'nothing'} | ${other[path] ?? 'nothing'}`);
}
