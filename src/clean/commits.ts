import { pathExists } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import type { Commit } from '../model.ts';
import { readHistory } from '../ostree/history.ts';
import type { StoredCommit, StoredRef } from '../ostree/prune.ts';
import { listStoredCommits, listStoredRefs, notWhole } from '../ostree/prune.ts';
import { readCommit } from '../ostree/repository.ts';

/** All refs and commits of the workspace's repository. */
export interface RepositoryContent {
  stored: readonly StoredCommit[];
  /** The workspace's own: unpacked packages, merges. */
  cache: readonly StoredRef[];
  /** Of the images. */
  heads: readonly StoredRef[];
  /** The commits of each head, newest first, as far back as they are there. */
  histories: readonly (readonly string[])[];
  /** The commits of refs that are neither: a person made them. */
  foreign: readonly string[];
}

/** Throws 'command' where the commit of a ref is missing that no build can make again. */
export async function readContent(host: Host): Promise<RepositoryContent> {
  const { repository } = host.workspace;
  if (!(await pathExists(repository)))
    return { stored: [], cache: [], heads: [], histories: [], foreign: [] };
  const [refs, stored] = await Promise.all([listStoredRefs(repository), listStoredCommits(repository)]);
  const below = (prefix: string) => refs.filter(({ name }) => name.startsWith(prefix));
  const [cache, heads] = [below('heads/cache/'), below('heads/treeline/')];
  const others = refs.filter((ref) => !cache.includes(ref) && !heads.includes(ref));
  const histories = await Promise.all(heads.map((head) => readWholeHistory(host, head)));
  const foreign = (await Promise.all(others.map((ref) => readWholeHistory(host, ref)))).flat();
  return { stored, cache, heads, histories, foreign };
}

async function readWholeHistory(host: Host, { name, commit }: StoredRef): Promise<string[]> {
  const head = await readCommit(host, name, commit);
  if (head === undefined)
    throw notWhole(host.workspace.repository, `commit ${commit}, which refs/${name} names, is missing`);
  const before: Commit[] = await readHistory(host, head, Infinity);
  return [head, ...before].map(({ id }) => id);
}
