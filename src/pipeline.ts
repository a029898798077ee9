import { TreelineError } from './host/errors.ts';
import type { Host } from './host/host.ts';
import { sideBySide } from './host/side-by-side.ts';
import type { Image, MadeImage, PlannedImage } from './image-build.ts';
import { commitImage, makeImage, planImage, publishedRelease, publishImage } from './image-build.ts';
import type { Delta, Release } from './model.ts';
import type { BuildOptions, PublishOptions } from './options.ts';
import { moveRef } from './ostree/commit.ts';
import { openRepository } from './ostree/repository.ts';
import type { SigningKeys } from './ostree/signing.ts';
import { closeSigningKeys, openSigningKeys } from './ostree/signing.ts';
import type { NamedKeys } from './ostree/user-keys.ts';
import type { Replay } from './replay.ts';
import { acceptsKeys, planUpdate } from './plan-update.ts';
import { providePackages } from './provide-packages.ts';
import { publishIndex, renewSignature } from './release/publish-index.ts';
import { nextIndex, readIndex } from './release/update-index.ts';
import { makeProvenDeltas } from './update-deltas.ts';

/** Images that are made at the same time; each runs up to two programs side by side. */
const imagesAtOnce = 2;

/**
 * Builds and publishes one image a request: recipe, resolve, fetch, unpack, merge, tree, commit, image, release. What a
 * stage made before from the same inputs is used again. `signKeys`: of the user's own; undefined: the workspace's.
 */
export async function build(
  host: Host,
  requests: readonly BuildOptions[],
  signKeys?: NamedKeys,
): Promise<Release[]> {
  return withKeys(host, { signKeys, replay: requests[0]?.replay }, async (keys) => {
    const images = await commitImages(host, await planImages(host, requests, keys), await keys);
    return sideBySide(
      images.map((image) => async () => publish(host, await makeImage(image))),
      imagesAtOnce,
    );
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
  return withKeys(host, { signKeys: publishing.signKeys }, async (opening) => {
    const plannedImages = await planImages(host, requests, opening);
    const keys = await opening;
    await Promise.all(plannedImages.map((image) => requireTrust(host, image, keys)));
    const images = await commitImages(host, plannedImages, keys);
    const { validDays } = publishing;
    const index = await readIndex(host.workspace);
    const plans = await Promise.all(
      images.map(({ commit }) => planUpdate(host, commit, { index, keys, count: publishing.deltas })),
    );
    const planned = plans.flatMap((plan) => plan.deltas);
    const renew = (): Promise<number | undefined> =>
      renewSignature(host, { keys, validDays, now: Date.now() / 1000 });
    const changed = planned.length > 0 || (await anyUnpublished(images));
    // Compression to a delta has one thread; the images keep the other processor busy.
    const [deltas, made] = await Promise.all([
      planned.length === 0 ? [] : makeProvenDeltas(host, planned),
      sideBySide(
        images.map((image) => () => makeImage(image)),
        imagesAtOnce,
      ),
    ]);
    const releases: Release[] = [];
    for (const image of made) releases.push(await publish(host, image));
    if (deltas.length === 0) return { releases, deltas, changed, signedUntil: await renew() };
    const heads = plans.map((plan) => plan.head);
    await publishIndex(host, { index: nextIndex(index, heads, deltas), deltas, keys, validDays });
    return { releases, deltas, changed: true, signedUntil: undefined };
  });
}

/** One after the other: a package manager's lists are for one reader. */
async function planImages(
  host: Host,
  requests: readonly BuildOptions[],
  keys: Promise<SigningKeys>,
): Promise<PlannedImage[]> {
  const planned: PlannedImage[] = [];
  for (const options of refreshingOnce(requests)) {
    planned.push(await planImage(host, { options, label: labelOf(options, requests), keys }));
  }
  return planned;
}

/** Images that differ in their target alone have the same package lists: to ask for those once is enough. */
function refreshingOnce(requests: readonly BuildOptions[]): BuildOptions[] {
  const listsOf = ({ request, packages }: BuildOptions): string =>
    JSON.stringify([{ ...request, target: undefined }, packages.mirrors]);
  const lists = requests.map(listsOf);
  return requests.map((options, index) =>
    lists.indexOf(lists[index]!) === index
      ? options
      : { ...options, packages: { ...options.packages, refresh: false } },
  );
}

/** The target, with the base before it where several bases are built. */
function labelOf({ request }: BuildOptions, all: readonly BuildOptions[]): string {
  const bases = new Set(all.map((options) => options.request.base));
  return bases.size > 1 ? `${request.base} ${request.target}` : request.target;
}

async function commitImages(
  host: Host,
  planned: readonly PlannedImage[],
  keys: SigningKeys,
): Promise<Image[]> {
  const provide = await providePackages(host, planned);
  return sideBySide(
    planned.map((image) => () => commitImage(image, keys, () => provide(image))),
    imagesAtOnce,
  );
}

async function publish(host: Host, made: MadeImage): Promise<Release> {
  const release = await publishImage(made);
  if (made.image.commit.id !== made.image.previous?.id) await moveRef(host, made.image.commit);
  return release;
}

const anyUnpublished = async (images: readonly Image[]): Promise<boolean> =>
  (await Promise.all(images.map(publishedRelease))).includes(undefined);

/** Machines that run the last release must be able to take the next one. */
async function requireTrust(host: Host, image: PlannedImage, keys: SigningKeys): Promise<void> {
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

function noPrevious({ recipe: { ref, request } }: PlannedImage): TreelineError {
  return new TreelineError(
    'update',
    `Cannot build an update of ${ref}: there is no commit of it to start from`,
    {
      hint: `Build it first: npm run build:${request.target}`,
    },
  );
}

/** Those of others: nothing can be signed with them, and what they have signed already is at hand. */
const publishedKeys = async ({ publicKeyring, signatures }: Replay): Promise<SigningKeys> => ({
  ...{ home: '', environment: {}, fingerprints: [] },
  ...{ publicKeyring, signatures },
});

/** The keys are opened while the work begins. */
async function withKeys<T>(
  host: Host,
  { signKeys, replay }: { signKeys: NamedKeys | undefined; replay?: Replay | undefined },
  work: (keys: Promise<SigningKeys>) => Promise<T>,
): Promise<T> {
  await openRepository(host);
  const keys = replay === undefined ? openSigningKeys(host, signKeys) : publishedKeys(replay);
  try {
    // Whichever fails first tells why.
    const [result] = await Promise.all([work(keys), keys]);
    return result;
  } finally {
    const opened = await keys.catch(() => undefined);
    if (opened !== undefined) await closeSigningKeys(host, opened);
  }
}
