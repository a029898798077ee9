import { join } from 'node:path';
import PQueue from 'p-queue';
import { TreelineError } from './host/errors.ts';
import { makeDirectory } from './host/files.ts';
import type { Host } from './host/host.ts';
import type { Image } from './image-build.ts';
import { isReleased, prepareImage, releaseImage } from './image-build.ts';
import type { Delta, Release } from './model.ts';
import type { BuildOptions } from './options.ts';
import { moveRef } from './ostree/commit.ts';
import { makeDelta, proveDelta } from './ostree/delta.ts';
import type { PlannedDelta } from './ostree/plan-deltas.ts';
import { planDeltas } from './ostree/plan-deltas.ts';
import { openRepository } from './ostree/repository.ts';
import type { SigningKey } from './ostree/signing.ts';
import { closeSigningKey, openSigningKey } from './ostree/signing.ts';
import { deltaFileName, nextIndex, publishIndex, readIndex } from './release/update-index.ts';

/** Builds and publishes one image a request: recipe, resolve, fetch, tree, commit, image, release. */
export async function build(host: Host, requests: readonly BuildOptions[]): Promise<Release[]> {
  return withKey(host, async (key) => {
    const releases: Release[] = [];
    for (const options of requests) {
      const image = await prepareImage(host, options, key);
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
  /** False where all was published already: then nothing was written. */
  changed: boolean;
}

/**
 * Builds the trees again; where one changed, makes deltas to it, proves each, and publishes images and the index.
 * Where nothing changed, nothing is written. Throws 'update' where there is no commit to start from.
 */
export async function buildUpdate(host: Host, requests: readonly BuildOptions[]): Promise<Update> {
  return withKey(host, async (key) => {
    const images: Image[] = [];
    for (const options of requests) {
      const image = await prepareImage(host, options, key);
      if (image.previous === undefined) throw noPrevious(image);
      images.push(image);
    }
    const index = await readIndex(host.workspace);
    const planned = images.flatMap(({ commit, recipe: { ref } }) =>
      planDeltas(commit, { offered: index.refs[ref]?.commit, existing: index.deltas }),
    );
    if (planned.length === 0 && (await Promise.all(images.map(isReleased))).every(Boolean)) {
      return { releases: await releaseAll(images), deltas: [], changed: false };
    }
    const deltas = planned.length === 0 ? [] : await makeProvenDeltas(host, planned);
    const releases = await releaseAll(images);
    const commits = images.map((image) => image.commit);
    for (const commit of commits) await moveRef(host, commit);
    if (deltas.length > 0)
      await publishIndex(host, { index: nextIndex(index, commits, deltas), deltas, key });
    return { releases, deltas, changed: true };
  });
}

async function makeProvenDeltas(host: Host, planned: readonly PlannedDelta[]): Promise<Delta[]> {
  const deltas = await makeDeltas(host, planned);
  await proveDeltas(host, deltas);
  return deltas;
}

function makeDeltas(host: Host, planned: readonly PlannedDelta[]): Promise<Delta[]> {
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
            path: join(directory, deltaFileName(to.ref, from, to.id)),
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

function proveDeltas(host: Host, deltas: readonly Delta[]): Promise<void> {
  return host.stage(
    'prove',
    async () => {
      for (const delta of deltas) await proveDelta(host, delta, host.workspace.temporary);
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

async function withKey<T>(host: Host, work: (key: SigningKey) => Promise<T>): Promise<T> {
  await openRepository(host);
  const key = await openSigningKey(host);
  try {
    return await work(key);
  } finally {
    await closeSigningKey(host, key);
  }
}
