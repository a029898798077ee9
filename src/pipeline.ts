import { join } from 'node:path';
import PQueue from 'p-queue';
import { TreelineError } from './host/errors.ts';
import { makeDirectory } from './host/files.ts';
import type { Host } from './host/host.ts';
import type { Image } from './image-build.ts';
import { isReleased, prepareImage, releaseImage } from './image-build.ts';
import type { Commit, Delta, Release, UnprovenDelta } from './model.ts';
import type { BuildOptions, PublishOptions } from './options.ts';
import { moveRef } from './ostree/commit.ts';
import { makeDelta } from './ostree/delta.ts';
import { readHistory } from './ostree/history.ts';
import type { PlannedDelta } from './ostree/plan-deltas.ts';
import { planDeltas } from './ostree/plan-deltas.ts';
import { proveDelta } from './ostree/prove-delta.ts';
import { openRepository, readCommit } from './ostree/repository.ts';
import type { SigningKeys } from './ostree/signing.ts';
import { closeSigningKeys, openSigningKeys } from './ostree/signing.ts';
import { readTrustedKeys } from './ostree/trusted-keys.ts';
import type { NamedKeys } from './ostree/user-keys.ts';
import { publishIndex, renewSignature } from './release/publish-index.ts';
import type { IndexedHead, UpdateIndex } from './release/update-index.ts';
import { deltaFileName, nextIndex, presentDeltas, readIndex } from './release/update-index.ts';

/**
 * Builds and publishes one image a request: recipe, resolve, fetch, tree, commit, image, release. `signKeys`: of the user's
 * own; undefined: the workspace's.
 */
export async function build(
  host: Host,
  requests: readonly BuildOptions[],
  signKeys?: NamedKeys,
): Promise<Release[]> {
  return withKeys(host, signKeys, async (keys) => {
    const releases: Release[] = [];
    for (const options of requests) {
      const image = await prepareImage(host, options, keys);
      releases.push(await releaseImage(image));
      await moveRef(host, image.commit);
    }
    return releases;
  });
}

export interface Update {
  /** Of every image, new or as it was. */
  releases: readonly Release[];
  /** The new ones. */
  deltas: readonly Delta[];
  /** False where all was published already: then nothing was written but, now and then, a new signature. */
  changed: boolean;
  /** Until when the index is good, in seconds since 1970, where it stayed as it was and was signed anew. */
  signedUntil: number | undefined;
}

/**
 * Builds the trees again; where one changed, makes deltas to it, proves each, and publishes images and the index.
 * Where nothing changed, nothing is written, but the index is signed anew in time. Throws 'update' where there is no
 * commit to start from, or none of the keys is one that its machines trust.
 */
export async function buildUpdate(
  host: Host,
  requests: readonly BuildOptions[],
  publishing: PublishOptions,
): Promise<Update> {
  return withKeys(host, publishing.signKeys, async (keys) => {
    const images: Image[] = [];
    for (const options of requests) {
      const image = await prepareImage(host, options, keys);
      await requireTrust(host, image, keys);
      images.push(image);
    }
    const { validDays } = publishing;
    const index = await readIndex(host.workspace);
    const plans: Plan[] = [];
    for (const { commit } of images)
      plans.push(await planUpdate(host, commit, { index, keys, count: publishing.deltas }));
    const planned = plans.flatMap((plan) => plan.deltas);
    const renew = (): Promise<number | undefined> =>
      renewSignature(host, { keys, validDays, now: Date.now() / 1000 });
    if (planned.length === 0 && (await Promise.all(images.map(isReleased))).every(Boolean)) {
      return { releases: await releaseAll(images), deltas: [], changed: false, signedUntil: await renew() };
    }
    const deltas = planned.length === 0 ? [] : await makeProvenDeltas(host, planned);
    const releases = await releaseAll(images);
    for (const { commit } of images) await moveRef(host, commit);
    if (deltas.length === 0) return { releases, deltas, changed: true, signedUntil: await renew() };
    const heads = plans.map((plan) => plan.head);
    await publishIndex(host, { index: nextIndex(index, heads, deltas), deltas, keys, validDays });
    return { releases, deltas, changed: true, signedUntil: undefined };
  });
}

/** Machines that run the last release must be able to take the next one. */
async function requireTrust(host: Host, image: Image, keys: SigningKeys): Promise<void> {
  const { previous, recipe } = image;
  if (previous === undefined) throw noPrevious(image);
  if (await acceptsKeys(host, previous, keys)) return;
  throw new TreelineError(
    'update',
    `Cannot build an update of ${recipe.ref}: machines that run ${previous.version} trust none of the keys that would sign it`,
    {
      hint: `Sign with one that they trust, too (docs/keys.md). If it is lost, they need a new image: npm run build:${recipe.request.target}; updates go on from there.`,
    },
  );
}

/** A tree that names no keys at all is one of the user's own kind, and checks in its own way. */
async function acceptsKeys(host: Host, commit: Commit, keys: SigningKeys): Promise<boolean> {
  const trusted = await readTrustedKeys(host, keys, commit.id);
  return trusted.length === 0 || trusted.some((key) => keys.fingerprints.includes(key));
}

interface Plan {
  head: IndexedHead;
  deltas: PlannedDelta[];
}

/** `count`: from how many of the last releases a delta leads to the new one. */
async function planUpdate(
  host: Host,
  commit: Commit,
  { index, keys, count }: { index: UpdateIndex; keys: SigningKeys; count: number },
): Promise<Plan> {
  const offeredId = index.refs[commit.ref]?.commit;
  const offered = offeredId === undefined ? undefined : await readCommit(host, commit.ref, offeredId);
  const able: Commit[] = [];
  for (const start of await readHistory(host, commit, count))
    if (await acceptsKeys(host, start, keys)) able.push(start);
  const usable = offered !== undefined && (await acceptsKeys(host, offered, keys)) ? offered : undefined;
  const existing = await presentDeltas(host.workspace, index);
  const before = [...able, ...(usable === undefined ? [] : [usable])].map(({ id }) => id);
  return {
    head: { commit, before: before.filter((id) => id !== commit.id) },
    deltas: planDeltas(commit, { before: able, offered: usable, existing }),
  };
}

async function makeProvenDeltas(host: Host, planned: readonly PlannedDelta[]): Promise<Delta[]> {
  return proveDeltas(host, await makeDeltas(host, planned));
}

function makeDeltas(host: Host, planned: readonly PlannedDelta[]): Promise<UnprovenDelta[]> {
  return host.stage(
    'deltas',
    async () => {
      const directory = join(host.workspace.output, '.staging', 'deltas');
      await makeDirectory(directory);
      let done = 0;
      // Each is one single-threaded compression; two keep two cores busy.
      return new PQueue({ concurrency: 2 }).addAll(
        planned.map(({ from, to }) => async () => {
          const delta = await makeDelta(host, {
            from,
            to,
            path: join(directory, deltaFileName(to.ref, from?.id, to.id)),
          });
          done += 1;
          host.emit({ type: 'stage-progress', stage: 'deltas', done, total: planned.length, unit: 'deltas' });
          return delta;
        }),
      );
    },
    (deltas) => ({ detail: `${deltas.length} made` }),
  );
}

function proveDeltas(host: Host, deltas: readonly UnprovenDelta[]): Promise<Delta[]> {
  return host.stage(
    'prove',
    async () => {
      const proven: Delta[] = [];
      for (const delta of deltas) proven.push(await proveDelta(host, delta, host.workspace.temporary));
      return proven;
    },
    () => ({ detail: `${deltas.length} applied to the old commit and compared` }),
  );
}

async function releaseAll(images: readonly Image[]): Promise<Release[]> {
  const releases: Release[] = [];
  for (const image of images) releases.push(await releaseImage(image));
  return releases;
}

function noPrevious({ recipe: { ref, request } }: Image): TreelineError {
  return new TreelineError(
    'update',
    `Cannot build an update of ${ref}: there is no commit of it to start from`,
    {
      hint: `Build it first: npm run build:${request.target}`,
    },
  );
}

async function withKeys<T>(
  host: Host,
  signKeys: NamedKeys | undefined,
  work: (keys: SigningKeys) => Promise<T>,
): Promise<T> {
  await openRepository(host);
  const keys = await openSigningKeys(host, signKeys);
  try {
    return await work(keys);
  } finally {
    await closeSigningKeys(host, keys);
  }
}
