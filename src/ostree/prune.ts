import { join } from 'node:path';
import { TreelineError } from '../host/errors.ts';
import {
  listNames,
  listTree,
  makeDirectory,
  makeLink,
  measure,
  readText,
  readTextIfExists,
  realPath,
  remove,
  writeFile,
} from '../host/files.ts';
import type { Host } from '../host/host.ts';
import { ostree } from './repository.ts';

/** A ref of a repository, its own or of a remote. */
export interface StoredRef {
  /** Below refs/: `heads/treeline/debian-12/x86_64/vm`. */
  name: string;
  commit: string;
  /** Seconds since 1970: when it was written, or marked as used. */
  used: number;
}

/** A commit object, whether a ref leads to it or not. */
export interface StoredCommit {
  id: string;
  /** Seconds since 1970: when it came into the repository. */
  made: number;
}

/** Every ref of a repository. Throws 'command' where one names no commit, or the repository is none. */
export async function listStoredRefs(repository: string): Promise<StoredRef[]> {
  await readConfig(repository);
  const entries = (await listTree(join(repository, 'refs'))).filter(({ kind }) => kind !== 'directory');
  return Promise.all(
    entries.map(async ({ path: name }) => {
      const path = join(repository, 'refs', name);
      const commit = (await readText(path)).trim();
      if (!isCommit(commit)) throw notWhole(repository, `refs/${name} names no commit`);
      return { name, commit, used: (await measure(path)).written };
    }),
  );
}

/** Every commit that a repository holds. */
export async function listStoredCommits(repository: string): Promise<StoredCommit[]> {
  const objects = join(repository, 'objects');
  const found = await Promise.all(
    (await listNames(objects)).map(async (prefix) => {
      const names = (await listNames(join(objects, prefix))).filter((name) => name.endsWith('.commit'));
      return Promise.all(
        names.map(async (name) => ({
          id: `${prefix}${name.replace('.commit', '')}`,
          made: (await measure(join(objects, prefix, name))).written,
        })),
      );
    }),
  );
  return found.flat();
}

/**
 * How many bytes would be free if a repository kept these commits only; about, as ostree tells it. It reads all that is
 * kept, and throws 'command' where a part of that is missing. Nothing is changed. `scratch`: a directory to use.
 */
export async function measurePrune(
  host: Host,
  { repository, keep, scratch }: { repository: string; keep: readonly string[]; scratch: string },
): Promise<number> {
  // The same objects, and other refs.
  const view = join(scratch, 'prune-view');
  await remove(view);
  await Promise.all(['refs/remotes', 'state', 'tmp'].map((name) => makeDirectory(join(view, name))));
  await writeFile(join(view, 'config'), await readConfig(repository));
  await makeLink(await realPath(join(repository, 'objects')), join(view, 'objects'));
  await Promise.all(keep.map((id) => writeFile(join(view, 'refs/heads', id), `${id}\n`)));
  await Promise.all(
    (await listNames(join(repository, 'state'))).map(async (name) =>
      writeFile(join(view, 'state', name), ''),
    ),
  );
  const args = ['prune', '--no-prune', '--refs-only', '--depth=0'];
  const told = await ostree(host, args, { repository: view, doing: 'read the repository' }).finally(() =>
    remove(view),
  );
  return parsePrunedBytes(told);
}

/** Reads `Would delete: 2557 objects, freeing 82.7 MB`. */
export function parsePrunedBytes(text: string): number {
  const [, number, unit] = /freeing ([\d.]+)\s(bytes|[kMGT]B)/.exec(text) ?? [];
  if (number === undefined) return 0;
  return Math.round(Number(number) * 1000 ** ['bytes', 'kB', 'MB', 'GB', 'TB'].indexOf(unit!));
}

/** Removes refs (their names below refs/heads) and commits from a repository, and all that only these needed. */
export async function prune(
  host: Host,
  { repository, refs, commits }: { repository: string; refs: readonly string[]; commits: readonly string[] },
): Promise<void> {
  const details = { repository, doing: 'remove what is not needed from the repository' };
  if (refs.length > 0) await ostree(host, ['refs', '--delete', ...refs], details);
  // ostree's own way, `prune --delete-commit`, reads the whole repository for each. Killed hereafter, a commit is gone or whole:
  // nobody will find one of which some objects are gone already.
  for (const id of commits) {
    const object = join(repository, 'objects', id.slice(0, 2), id.slice(2));
    await remove(`${object}.commit`);
    await remove(`${object}.commitmeta`);
    await remove(join(repository, 'state', `${id}.commitpartial`));
  }
  await ostree(host, ['prune'], details);
}

const isCommit = (text: string): boolean => /^[0-9a-f]{64}$/.test(text);

async function readConfig(repository: string): Promise<string> {
  const text = await readTextIfExists(join(repository, 'config'));
  if (text === undefined) throw notWhole(repository, 'it has no config');
  return text;
}

/** The repository lacks something that no build makes again. */
export const notWhole = (repository: string, reason: string): TreelineError =>
  new TreelineError('command', `Cannot use ${repository}: ${reason}`, {
    hint: `Nothing was removed. Restore it from your backup; ostree fsck --repo=${repository} shows what is missing.`,
  });
