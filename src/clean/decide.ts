import { join } from 'node:path';
import { pathExists, readText } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import type { StoredCommit } from '../ostree/prune.ts';
import { listStoredCommits, measurePrune } from '../ostree/prune.ts';
import type { RepositoryContent } from './commits.ts';
import { readContent } from './commits.ts';
import type { Asked } from './needs.ts';
import { readNeeds } from './needs.ts';
import type { Policy, Thing } from './plan.ts';
import { commitsThatStay, goes } from './plan.ts';
import { archiveOf, listFiles, listRefs, memoryOf, refOf } from './survey.ts';

/** What goes from a repository. */
export interface RepositoryPlan {
  /** Absolute. */
  repository: string;
  /** Below refs/heads. */
  refs: readonly string[];
  commits: readonly string[];
  /** That will be free, about. */
  bytes: number;
}

export interface CleanPlan {
  removed: readonly Thing[];
  stays: readonly Thing[];
  repository: RepositoryPlan;
  /** What goes from the copy that is served; nothing where that goes as a whole. */
  archive: RepositoryPlan;
}

/** Looks at all that the workspace keeps, and changes nothing. Throws 'command' where the repository is not whole. */
export async function decide(host: Host, options: Policy & Asked): Promise<CleanPlan> {
  const content = await readContent(host);
  const needs = await readNeeds(host, { heads: content.heads.map(refOf), lockFiles: options.lockFiles });
  if (!options.all) for (const ref of needs.unreleased) warnOfUnreleased(host, ref);
  const things = [...(await listFiles(host, needs)), ...listRefs(content, needs)];
  const memories = await readMemories(host, things);

  const going = new Set(things.filter((thing) => goes(thing, options)).map(({ name }) => name));
  const keep = commitsThatStay(
    {
      stored: content.stored,
      roots: [...content.heads, ...content.cache].filter((ref) => !going.has(refOf(ref))).map(commitOf),
      histories: content.histories,
      named: new Set([...needs.commits, ...content.foreign]),
      remembered: new Set(memories.filter(({ path }) => !going.has(path)).map(commitOf)),
      deltas: options.deltas,
    },
    options,
  );
  for (const { path, commit } of memories) if (!keep.has(commit)) going.add(path);

  const all = [...things, ...commitThings(content)];
  const stay = ({ kind, name }: Thing): boolean => (kind === 'commits' ? keep.has(name) : !going.has(name));
  return {
    removed: all.filter((thing) => !stay(thing)),
    stays: all.filter(stay),
    repository: {
      ...(await planRepository(host, {
        repository: host.workspace.repository,
        keep,
        stored: content.stored,
      })),
      refs: content.cache.map(refOf).filter((ref) => going.has(ref)),
    },
    archive: await planArchive(host, { keep, removed: going.has(archiveOf(host)) }),
  };
}

function warnOfUnreleased(host: Host, ref: string): void {
  const { output } = host.workspace;
  const text = `${output} holds no release of ${ref}: its packages stay only as long as they are used. If its releases are elsewhere, name the place with --output.`;
  host.emit({ type: 'warning', text });
}

const commitOf = ({ commit }: { commit: string }): string => commit;

/** Which commit came out of what, where that is remembered. */
async function readMemories(
  host: Host,
  things: readonly Thing[],
): Promise<{ path: string; commit: string }[]> {
  const paths = things.map(({ name }) => name).filter((path) => path.startsWith(`${memoryOf(host)}/`));
  return Promise.all(paths.map(async (path) => ({ path, commit: (await readText(path)).trim() })));
}

/** Commits that are counted as such; those of packages and merges are counted as that. */
function commitThings({ stored, cache }: RepositoryContent): Thing[] {
  const counted = new Set(cache.map(commitOf));
  return stored
    .filter(({ id }) => !counted.has(id))
    .map(({ id, made }) => ({ kind: 'commits', name: id, bytes: 0, lastUsed: made, needed: false }));
}

async function planRepository(
  host: Host,
  parts: { repository: string; keep: ReadonlySet<string>; stored: readonly StoredCommit[] },
): Promise<RepositoryPlan> {
  const { repository, keep, stored } = parts;
  const ids = stored.map(({ id }) => id);
  const kept = ids.filter((id) => keep.has(id));
  const bytes = (await pathExists(repository))
    ? await measurePrune(host, { repository, keep: kept, scratch: host.workspace.temporary })
    : 0;
  return { repository, refs: [], commits: ids.filter((id) => !keep.has(id)), bytes };
}

/** The copy keeps what the repository keeps. */
async function planArchive(
  host: Host,
  { keep, removed }: { keep: ReadonlySet<string>; removed: boolean },
): Promise<RepositoryPlan> {
  const repository = archiveOf(host);
  if (removed || !(await pathExists(join(repository, 'config'))))
    return { repository, refs: [], commits: [], bytes: 0 };
  return planRepository(host, { repository, keep, stored: await listStoredCommits(repository) });
}
