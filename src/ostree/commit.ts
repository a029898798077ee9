import { TreelineError } from '../host/errors.ts';
import type { Host } from '../host/host.ts';
import type { Commit, Tree } from '../model.ts';
import type { Replay } from '../replay.ts';
import { ostree, readCommit, resolveRef } from './repository.ts';
import { signCommit } from './commit-signature.ts';
import type { SigningKeys } from './signing.ts';

/** The commit at the head of a ref, or undefined where the ref does not exist yet. */
export async function readHead(host: Host, ref: string): Promise<Commit | undefined> {
  const id = await resolveRef(host, ref);
  return id === undefined ? undefined : readCommit(host, ref, id);
}

/**
 * Commits a tree with `head` as parent, signed by every key; returns `head` itself where the content is the same. The ref is not
 * moved: that happens with the release (`moveRef`), so that a build which fails later leaves no trace.
 */
export async function commitTree(
  host: Host,
  {
    tree,
    head,
    keys,
    replay,
  }: { tree: Tree; head: Commit | undefined; keys: SigningKeys; replay?: Replay | undefined },
): Promise<Commit> {
  if (replay !== undefined) return replayCommit(host, tree, { replay, keys });
  const { ref } = tree.recipe;
  // ostree refuses to upgrade to a commit that is older than the running one.
  const timestamp = head === undefined ? tree.epoch : Math.max(tree.epoch, head.timestamp + 1);
  const version = nextVersion(tree.epoch, head?.version);
  const after = head === undefined ? [] : [`--parent=${head.id}`, '--skip-if-unchanged'];
  const id = await writeCommit(host, tree, { version, timestamp, after });
  if (head !== undefined && id === head.id) return head;
  await signCommit(host, { id, timestamp }, keys);
  return { ref, id, parent: head?.id, version, timestamp };
}

/** Makes the very commit of a published release. Throws 'difference' where another one comes out. */
async function replayCommit(
  host: Host,
  tree: Tree,
  { replay, keys }: { replay: Replay; keys: SigningKeys },
): Promise<Commit> {
  const { ref, commit, parent, version, timestamp } = replay.manifest;
  const after = parent === null ? [] : [`--parent=${parent}`];
  const id = await writeCommit(host, tree, { version, timestamp, after });
  if (id !== commit) {
    throw new TreelineError(
      'difference',
      `Cannot build ${ref} ${version} again: commit ${id} came out, and not ${commit}`,
      {
        hint: 'Are the layers, the services, SOURCE_DATE_EPOCH and the version of Treeline those that it was built with? Recipe and lock in its manifest.json tell (docs/reproduce.md).',
      },
    );
  }
  await signCommit(host, { id, timestamp }, keys);
  return { ref, id, parent: parent ?? undefined, version, timestamp };
}

/** `after`: arguments that name the parent. Returns the commit's id. */
const writeCommit = (
  host: Host,
  { directory, lock, recipe: { ref, digest } }: Tree,
  { version, timestamp, after }: { version: string; timestamp: number; after: readonly string[] },
): Promise<string> =>
  ostree(
    host,
    [
      'commit',
      '--orphan',
      `--bind-ref=${ref}`,
      ...after,
      `--timestamp=@${timestamp}`,
      `--subject=${ref} ${version}`,
      `--add-metadata-string=version=${version}`,
      `--add-metadata-string=treeline.recipe=${digest}`,
      `--add-metadata-string=treeline.lock=${lock.digest}`,
      '--link-checkout-speedup',
      `--tree=dir=${directory}`,
    ],
    { doing: `commit ${ref}` },
  );

/** Makes `commit` the head of its ref. */
export async function moveRef(host: Host, commit: Commit): Promise<void> {
  await ostree(host, ['refs', '--force', `--create=${commit.ref}`, commit.id]);
}

/** `<date of the newest package, UTC>.<n>`, n counting the commits of that date. */
export function nextVersion(epoch: number, previous: string | undefined): string {
  const date = new Date(epoch * 1000).toISOString().slice(0, 10).replaceAll('-', '');
  const [previousDate, previousNumber] = (previous ?? '').split('.');
  // A tree whose newest package went away must not look older than the one before it.
  if (previousDate !== undefined && previousDate >= date)
    return `${previousDate}.${Number(previousNumber) + 1}`;
  return `${date}.0`;
}
