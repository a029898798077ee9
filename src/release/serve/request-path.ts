/** The path of a request, decoded. */
export interface RequestPath {
  segments: readonly string[];
  /** Whether it ended in a slash. */
  isDirectory: boolean;
}

/**
 * Takes a request target apart (RFC 9112, section 3.2: origin form, or absolute form as proxies send it). Doubled
 * slashes count once. undefined for what cannot name a file: bad escapes, NUL, a slash or `..` that was escaped or not.
 */
export function parseRequestPath(target: string): RequestPath | undefined {
  const path = target.replace(/^https?:\/\/[^/?#]*/i, '').split(/[?#]/)[0]!;
  if (!path.startsWith('/')) return undefined;
  try {
    const segments = path
      .split('/')
      .map(decodeURIComponent)
      .filter((segment) => segment !== '' && segment !== '.');
    if (segments.some((segment) => segment === '..' || /[/\0]/.test(segment))) return undefined;
    return { segments, isDirectory: /\/\.?$/.test(path) };
  } catch {
    return undefined;
  }
}

/** Where a path lies: the directory of the longest prefix that fits, and the rest relative to it. Hidden names lie nowhere. */
export function findMount(
  mounts: ReadonlyMap<string, string>,
  segments: readonly string[],
): { directory: string; below: string } | undefined {
  if (segments.some((segment) => segment.startsWith('.'))) return undefined;
  const path = `/${segments.map((segment) => `${segment}/`).join('')}`;
  const prefix = [...mounts.keys()]
    .filter((key) => path.startsWith(key))
    .toSorted((a, b) => b.length - a.length)[0];
  if (prefix === undefined) return undefined;
  return { directory: mounts.get(prefix)!, below: path.slice(prefix.length).replace(/\/$/, '') };
}

/** Names with a slash at the end that other mounts add to a directory. */
export function mountsBelow(mounts: ReadonlyMap<string, string>, segments: readonly string[]): string[] {
  const path = `/${segments.map((segment) => `${segment}/`).join('')}`;
  const below = [...mounts.keys()].filter((key) => key !== path && key.startsWith(path));
  return [...new Set(below.map((key) => key.slice(path.length).replace(/\/.*$/, '/')))];
}
