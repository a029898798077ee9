import type { Host } from '../host/host.ts';
import { ostree, resolveRef } from './repository.ts';

/**
 * Unpacked packages live in the repository as one commit each, so that a tree is merged from them by hard links and a
 * changed package costs one package. `cache/` refs are the workspace's own and are never published.
 */
export const packageRef = (sha256: string): string => `cache/package/${sha256}`;
export const mergedRef = (key: string): string => `cache/merged/${key}`;

/** The directories that a usr-merged tree keeps under /usr; ostree's filter takes a POSIX-like regular expression. */
const usrMerge = String.raw`^(\./)?(bin|sbin|lib|lib32|lib64|libx32)(/|$),usr/\2\3`;

/**
 * Imports a package's files, a tar archive with any compression that libarchive knows, as a commit of its own. Owners,
 * modes and links are the archive's; times are dropped.
 */
export async function importArchive(
  host: Host,
  { name, ref, archive }: { name: string; ref: string; archive: Uint8Array },
): Promise<void> {
  const filter = [`--tar-pathname-filter=${usrMerge}`, '--tar-autocreate-parents'];
  await ostree(
    host,
    ['commit', `--branch=${ref}`, '--timestamp=@0', '--subject=', '--tree=tar=-', ...filter],
    {
      input: archive,
      doing: `unpack ${name}`,
    },
  );
}

/**
 * Lays the files of several commits into one directory, which must not exist, as hard links into the repository; where
 * two have the same path, the later one's counts.
 */
export async function checkoutTogether(
  host: Host,
  refs: readonly string[],
  directory: string,
): Promise<void> {
  await ostree(host, ['checkout', '--require-hardlinks', '--union', '--from-stdin', directory], {
    // A commit and a path in it, each ended by a zero byte.
    input: refs.map((ref) => `${ref}\0/\0`).join(''),
    doing: 'lay the packages together',
  });
}

/** Refs of `refs` that the repository lacks. */
export async function missingRefs(host: Host, prefix: string, refs: readonly string[]): Promise<string[]> {
  const present = new Set((await ostree(host, ['refs', '--list', prefix])).split('\n'));
  return refs.filter((ref) => !present.has(ref));
}

/**
 * Checks a commit out into `directory`, which must not exist. `writable`: a copy; otherwise hard links into the
 * repository, whose files must be replaced, never written into.
 */
export async function checkout(
  host: Host,
  { ref, directory, writable }: { ref: string; directory: string; writable: boolean },
): Promise<void> {
  await ostree(host, ['checkout', writable ? '--force-copy' : '--require-hardlinks', ref, directory], {
    doing: 'lay out the packages',
  });
}

export const hasRef = async (host: Host, ref: string): Promise<boolean> =>
  (await resolveRef(host, ref)) !== undefined;
