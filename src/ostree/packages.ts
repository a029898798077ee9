import { join } from 'node:path';
import { markUsed, readTextIfExists } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import type { Commit } from '../model.ts';
import { listRefs, ostree, readCommit } from './repository.ts';

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

/** Refs of `refs`, all of which begin with `prefix`, that the repository lacks; those that it has are marked as used. */
export async function missingRefs(host: Host, prefix: string, refs: readonly string[]): Promise<string[]> {
  const present = new Set(await listRefs(host, prefix));
  await Promise.all(refs.filter((ref) => present.has(ref)).map((ref) => markUsed(refFile(host, ref))));
  return refs.filter((ref) => !present.has(ref));
}

/** Keeps a directory, whose files may be hard links into the repository, as a commit; `timestamp` in seconds since 1970. */
export async function commitMerged(
  host: Host,
  { ref, directory, timestamp }: { ref: string; directory: string; timestamp: number },
): Promise<void> {
  const facts = [`--branch=${ref}`, `--timestamp=@${timestamp}`, '--subject='];
  await ostree(host, ['commit', ...facts, '--link-checkout-speedup', `--tree=dir=${directory}`]);
}

/** The commit at a ref of the workspace's own, which is marked as used; undefined where there is none. */
export async function readKept(host: Host, ref: string): Promise<Commit | undefined> {
  const id = await readTextIfExists(refFile(host, ref));
  const kept = id === undefined ? undefined : await readCommit(host, ref, id.trim());
  if (kept !== undefined) await markUsed(refFile(host, ref));
  return kept;
}

const refFile = (host: Host, ref: string): string => join(host.workspace.repository, 'refs/heads', ref);

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
