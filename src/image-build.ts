import { join } from 'node:path';
import { codeDigest } from './host/code.ts';
import { TreelineError } from './host/errors.ts';
import { copy, fileSha256, makeDirectory, remove } from './host/files.ts';
import type { Host } from './host/host.ts';
import { withinScope } from './host/host.ts';
import { toolStamps } from './host/tool-stamps.ts';
import type { ImageInputs } from './image/artifacts.ts';
import { imageDigest, imageInputs, imageTools, makeArtifacts } from './image/artifacts.ts';
import { readLayout } from './image/disk/layout.ts';
import { verifyLayout } from './image/disk/layout-script.ts';
import { readPublicKeys } from './image/seed.ts';
import type { Inputs, KeyedStage } from './inputs.ts';
import { explainStage, inputsDigest, isRemembered, packageInputs, rememberInputs } from './inputs.ts';
import type { Architecture, Commit, Lock, Manifest, PackageSet, Recipe, Release } from './model.ts';
import type { BuildOptions } from './options.ts';
import { signaturesOf } from './ostree/commit-signature.ts';
import { commitTree, readHead } from './ostree/commit.ts';
import { recallCommit, rememberCommit } from './ostree/known-commits.ts';
import type { SigningKeys } from './ostree/signing.ts';
import { formatLocks } from './packages/lock.ts';
import { fetchPackages, resolvePackages } from './packages/packages.ts';
import { readRecipe } from './recipe/recipe.ts';
import { withUpdateUrl } from './recipe/override.ts';
import type { Replay } from './replay.ts';
import { publicKeyringName, signaturesName } from './replay.ts';
import { artifactName, artifactRecord, publishRelease, readRelease, releasesOf } from './release/releases.ts';
import { checkAccountDrift } from './tree/account-drift.ts';
import { buildTree } from './tree/build.ts';
import type { MergedPackages } from './tree/packages.ts';
import { findMerged, mergeInputs, mergePackages } from './tree/packages.ts';

/** An image of which is known what it is made of. */
export interface PlannedImage {
  /** Shows its stages under a name of their own. */
  host: Host;
  options: BuildOptions;
  recipe: Recipe;
  lock: Lock;
  /** The ref's head before this build. */
  previous: Commit | undefined;
  inputs: ImageInputs;
  /** Those that the tree trusts; absolute. */
  publicKeyring: string;
  /** Of the tree. */
  treeInputs: Inputs;
  /** The commit that the same inputs gave before. */
  known: Commit | undefined;
}

/** An image whose tree is in the repository. */
export interface Image extends PlannedImage {
  commit: Commit;
}

/** The artifacts of an image: published before, or made and ready to be. */
export type MadeImage = { image: Image } & (
  { published: Release } | { staging: string; manifest: Manifest; stage: KeyedStage }
);

/** Request → Lock, and whether the repository has a commit of that. `label`: for its stages. */
export async function planImage(
  parent: Host,
  { options, label, keys }: { options: BuildOptions; label: string; keys: Promise<SigningKeys> },
): Promise<PlannedImage> {
  const host = withinScope(parent, label);
  const [inputs, recipe] = await Promise.all([
    readInputs(host, options),
    host.stage(
      'recipe',
      async () => withUpdateUrl(await readRecipe(options.request), options.updateUrl),
      ({ layers, packages }) => ({ detail: `${layers.length} layers ask for ${packages.length} packages` }),
    ),
  ]);
  requireRefOf(options.replay, recipe);
  const [lock, previous, { publicKeyring }] = await Promise.all([
    host.stage(
      'resolve',
      () => resolvePackages(host, recipe, options.packages),
      ({ packages, digest }) => ({ detail: `${packages.length} packages, lock ${digest.slice(0, 12)}` }),
    ),
    readHead(host, recipe.ref),
    keys,
  ]);
  requirePlaceFor(options.replay, previous);
  const treeInputs = await inputsOfTree(recipe, lock, { publicKeyring, epoch: options.epoch });
  const known = await recallCommit(host, {
    ref: recipe.ref,
    inputs: inputsDigest(treeInputs),
    head: previous,
  });
  return {
    ...{ host, options, recipe, lock, previous, inputs, publicKeyring, treeInputs },
    known: options.force ? undefined : known,
  };
}

/** Another image would be given the place in history, and the signatures, of the one that is built again. */
function requireRefOf(replay: Replay | undefined, { ref }: Recipe): void {
  if (replay === undefined || replay.manifest.ref === ref) return;
  const { directory, manifest } = replay;
  throw new TreelineError('usage', `Cannot build ${directory} again: it is ${manifest.ref}, and not ${ref}`, {
    hint: 'Name its own base, architecture and target.',
  });
}

/** What is built again becomes the head of its ref: one's own would be lost. */
function requirePlaceFor(replay: Replay | undefined, previous: Commit | undefined): void {
  if (replay === undefined) return;
  const { directory, manifest } = replay;
  if (previous === undefined || previous.id === manifest.commit) return;
  throw new TreelineError(
    'usage',
    `Cannot build ${directory} again: this workspace has releases of ${manifest.ref} of its own`,
    { hint: 'Use another one: --workspace DIR' },
  );
}

/** The image's packages, merged before; undefined where that is to be done. Nothing is asked where the tree is known. */
export async function recallMerged({
  host,
  options,
  recipe,
  lock,
}: PlannedImage): Promise<MergedPackages | undefined> {
  const inputs = mergeInputs(recipe, lock);
  const merged = options.force ? undefined : await findMerged(host, inputs);
  const stage: KeyedStage = { ref: recipe.ref, stage: 'merge', inputs };
  await explain({ host, options }, stage, merged !== undefined);
  if (merged !== undefined) await rememberInputs(host, stage);
  return merged;
}

/** Lock → PackageSet. */
export const fetchImage = ({ host, options, recipe, lock }: PlannedImage): Promise<PackageSet> =>
  host.stage(
    'fetch',
    () => fetchPackages(host, lock, recipe, options.packages),
    ({ lock: { packages: list } }) => ({ detail: `${list.length} packages, all verified` }),
  );

/** PackageSet → the packages as one commit; see mergePackages. */
export async function mergeImage(
  { host, recipe, lock }: PlannedImage,
  packages: PackageSet,
): Promise<MergedPackages> {
  const inputs = mergeInputs(recipe, lock);
  const merged = await host.stage(
    'merge',
    () => mergePackages(host, { recipe, packages, inputs, scratch: scratchOf(host, recipe, 'merge') }),
    () => ({ detail: `${lock.packages.length} packages` }),
  );
  await rememberInputs(host, { ref: recipe.ref, stage: 'merge', inputs });
  return merged;
}

/** Where the inputs are those of a known commit, nothing is built, and `provide` is not asked for the merged packages. */
export async function commitImage(
  image: PlannedImage,
  keys: SigningKeys,
  provide: () => Promise<MergedPackages>,
): Promise<Image> {
  const { host, recipe, options, known, treeInputs } = image;
  const stage: KeyedStage = { ref: recipe.ref, stage: 'tree', inputs: treeInputs };
  await explain(image, stage, known !== undefined);
  if (known !== undefined) {
    await host.stage(
      'tree',
      async () => known,
      () => ({ reused: true, detail: describe(known) }),
    );
    await rememberInputs(host, stage);
    return { ...image, commit: known };
  }
  const merged = await provide();
  const commit = await makeCommit(image, { keys, merged, epoch: options.epoch ?? merged.newest });
  await rememberCommit(host, inputsDigest(treeInputs), commit);
  await rememberInputs(host, stage);
  return { ...image, commit };
}

async function makeCommit(
  { host, options, recipe, lock, previous: head }: PlannedImage,
  { keys, merged, epoch }: { keys: SigningKeys; merged: MergedPackages; epoch: number },
): Promise<Commit> {
  const scratch = scratchOf(host, recipe, 'tree');
  const tree = await host.stage(
    'tree',
    () => buildTree(host, { recipe, lock, merged, epoch, trustedKeys: keys.publicKeyring, scratch }),
    ({ kernel }) => ({ detail: kernel === undefined ? 'no kernel' : `kernel ${kernel}` }),
  );
  const [commit] = await Promise.all([
    host.stage(
      'commit',
      () => commitTree(host, { tree, head, keys, replay: options.replay }),
      (made) => ({ reused: made.id === head?.id, detail: describe(made) }),
    ),
    checkAccountDrift(host, { tree, head }),
  ]);
  await remove(scratch);
  return commit;
}

/** Commit → artifacts, beside their place. Where the published ones are made from the same, they stay. */
export async function makeImage(image: Image): Promise<MadeImage> {
  const { host, options, recipe, lock, commit, inputs } = image;
  const stage = imageStage(image);
  const published = options.force ? undefined : await publishedRelease(image);
  await explain(image, stage, published !== undefined);
  if (published !== undefined) {
    await host.stage(
      'image',
      async () => published,
      () => ({ reused: true, detail: 'as published' }),
    );
    return { image, published };
  }
  const scratch = scratchOf(host, recipe, 'image');
  const staging = join(host.workspace.output, '.staging', nameOf(recipe));
  await Promise.all([remove(scratch), remove(staging)]);
  await Promise.all([makeDirectory(scratch), makeDirectory(staging)]);
  const name = artifactName(recipe.ref, commit.version);
  const { artifacts, partitions } = await host.stage(
    'image',
    () => makeArtifacts(host, { recipe, commit, inputs, name, directory: staging, scratch }),
    (made) => ({ detail: made.artifacts.length === 1 ? '1 file' : `${made.artifacts.length} files` }),
  );
  await remove(scratch);
  await copy(image.publicKeyring, join(staging, publicKeyringName));
  await copy(signaturesOf(host.workspace, commit.id), join(staging, signaturesName));
  const manifest: Manifest = {
    ref: recipe.ref,
    commit: commit.id,
    parent: commit.parent ?? null,
    version: commit.version,
    timestamp: commit.timestamp,
    recipe: recipe.digest,
    lock: lock.digest,
    inputs: imageDigest(image),
    packages: lock.packages.map(({ name: packageName, version }) => ({ name: packageName, version })),
    partitions,
    artifacts: artifacts.map(artifactRecord),
  };
  return { image, staging, manifest, stage };
}

/** Artifacts → Release. */
export async function publishImage(made: MadeImage): Promise<Release> {
  if ('published' in made) return made.published;
  const { image, staging, manifest, stage } = made;
  const { host, options, recipe, lock } = image;
  const release = await publishRelease(host.workspace, {
    staging,
    manifest,
    lock: formatLocks(new Map([[recipe.ref, lock]])),
    keep: options.keep,
  });
  await rememberInputs(host, stage);
  return release;
}

/** The release with the artifacts that this image would give, made with the same versions of tools. */
export async function publishedRelease(image: Image): Promise<Release | undefined> {
  const { host, commit } = image;
  const found = await readRelease(join(releasesOf(host.workspace, commit.ref), commit.version));
  if (found?.manifest.inputs !== imageDigest(image) || found.manifest.commit !== commit.id) return undefined;
  return (await isRemembered(host, imageStage(image))) ? found : undefined;
}

const imageStage = ({ recipe, commit, inputs }: Image): KeyedStage => ({
  ref: recipe.ref,
  stage: 'image',
  inputs: { ...imageInputs({ recipe, commit, inputs }), ...toolStamps(imageTools(recipe)) },
});

const explain = (
  { host, options }: Pick<PlannedImage, 'host' | 'options'>,
  stage: KeyedStage,
  reused: boolean,
): Promise<void> => explainStage(host, stage, { reused, forced: options.force, aloud: options.explainCache });

/** Directories of unfinished work; refs that differ have different ones. */
const scratchOf = ({ workspace }: Host, recipe: Recipe, purpose: string): string =>
  join(workspace.temporary, `${purpose}-${nameOf(recipe)}`);

const nameOf = ({ ref }: Recipe): string => ref.split('/').slice(1).join('-');

/** What a build reads beside its layers; read first, so that a mistake in it costs no build. */
async function readInputs(host: Host, options: BuildOptions): Promise<ImageInputs> {
  refuseForeignArchitecture(options.request.arch);
  const layout = await readLayout(options.layout);
  if (options.request.target === 'vm') await verifyLayout(host, layout);
  const { sshKeys, flat, qcow2 } = options;
  return { layout, keys: await readPublicKeys(sshKeys), flat, qcow2 };
}

/** A build runs programs of the tree: busybox, and what hooks call. */
function refuseForeignArchitecture(wanted: Architecture): void {
  const own = process.arch === 'x64' ? 'x86_64' : process.arch === 'arm64' ? 'aarch64' : process.arch;
  if (wanted === own) return;
  throw new TreelineError(
    'host',
    `Cannot build for ${wanted}: this machine is ${own}, and a build runs programs of the tree`,
    {
      hint: `Build on a machine that is ${wanted}.`,
    },
  );
}

/** All that decides a tree. */
async function inputsOfTree(
  recipe: Recipe,
  lock: Lock,
  { publicKeyring, epoch }: { publicKeyring: string; epoch: number | undefined },
): Promise<Inputs> {
  return {
    ...recipe.parts,
    ...packageInputs(lock),
    'trusted keys': await fileSha256(publicKeyring),
    SOURCE_DATE_EPOCH: String(epoch ?? ''),
    'Treeline itself': codeDigest(),
    ...toolStamps(['ostree', 'cpio', 'depmod']),
  };
}

const describe = ({ version, id }: Commit): string => `${version}, commit ${id.slice(0, 12)}`;
