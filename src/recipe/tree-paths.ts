/** Directories at the root of the file system that are links in every tree, and where they lead. */
export const rootLinks: ReadonlyMap<string, string> = new Map([
  ...['bin', 'sbin', 'lib', 'lib64'].map((name) => [name, `usr/${name}`] as const),
  ...['home', 'opt', 'srv', 'mnt', 'media'].map((name) => [name, `var/${name}`] as const),
  ['root', 'var/roothome'],
]);

/** Where a path (relative to the tree) really lies: `lib/x` in `usr/lib/x`, `root/x` in `var/roothome/x`. */
export function throughRootLinks(path: string): string {
  const [top = '', ...below] = path.split('/');
  return [rootLinks.get(top) ?? top, ...below].join('/');
}

/** A path as settings may write it, with the leading slash that it has in the running system, relative to the tree. */
export const fromRoot = (path: string): string =>
  path
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/');
