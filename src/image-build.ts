import { join } from 'node:path';
import { codeDigest } from './host/code.ts';
import { TreelineError } from './host/errors.ts';
import { fileSha256, makeDirectory, remove, sha256 } from './host/files.ts';
import type { Host } from './host/host.ts';
import { withinScope } from './host/host.ts';
import type { ImageInputs } from './image/artifacts.ts';
import { imageDigest, makeArtifacts } from './image/artifacts.ts';
import { readLayout } from './image/disk/layout.ts';
import { verifyLayout } from './image/disk/layout-script.ts';
import { readPublicKeys } from './image/seed.ts';
import type { Architecture, Commit, Lock, Recipe, Release } from './model.ts';
import type { BuildOptions } from './options.ts';
import { commitTree, readHead } from './ostree/commit.ts';
import { recallCommit, rememberCommit } from './ostree/known-commits.ts';
import type { SigningKeys } from './ostree/signing.ts';
import { formatLocks } from './packages/lock.ts';
import { fetchPackages, resolvePackages } from './packages/packages.ts';
import { readRecipe } from './recipe/recipe.ts';
import { withUpdateUrl } from './recipe/override.ts';
import { artifactName, artifactRecord, publishRelease, readRelease, releasesOf } from './release/releases.ts';
import { checkAccountDrift } from './tree/account-drift.ts';
import { buildTree } from './tree/build.ts';

/** An image on its way: what it is made of, and the commit that holds it. */
export interface Image {
  host: Host;
  options: BuildOptions;
  recipe: Recipe;
  lock: Lock;
  /** The ref's head before this build. */
  previous: Commit | undefined;
  commit: Commit;
  inputs: ImageInputs;
}

/** Request → Commit. Where the inputs are those of a known commit, nothing is built. */
export async function prepareImage(parent: Host, options: BuildOptions, keys: SigningKeys): Promise<Image> {
  const host = withinScope(parent, options.request.target);
  const inputs = await readInputs(host, options);
  const recipe = await host.stage(
    'recipe',
    async () => withUpdateUrl(await readRecipe(options.request), options.updateUrl),
    ({ layers, packages }) => ({ detail: `${layers.length} layers ask for ${packages.length} packages` }),
  );
  const lock = await host.stage(
    'resolve',
    () => resolvePackages(host, recipe, options.packages),
    ({ packages, digest }) => ({ detail: `${packages.length} packages, lock ${digest.slice(0, 12)}` }),
  );
  const head = await readHead(host, recipe.ref);
  const digest = await treeDigest(recipe, lock, { keys, epoch: options.epoch });
  const known = await recallCommit(host, { ref: recipe.ref, inputs: digest, head });
  if (known !== undefined) {
    const commit = await host.stage(
      'tree',
      async () => known,
      () => ({ reused: true, detail: describe(known) }),
    );
    return { host, options, recipe, lock, previous: head, commit, inputs };
  }
  const commit = await makeCommit({ host, options, recipe, lock, keys, head });
  await rememberCommit(host, digest, commit);
  return { host, options, recipe, lock, previous: head, commit, inputs };
}

async function makeCommit(parts: {
  host: Host;
  options: BuildOptions;
  recipe: Recipe;
  lock: Lock;
  keys: SigningKeys;
  head: Commit | undefined;
}): Promise<Commit> {
  const { host, options, recipe, lock, keys, head } = parts;
  const scratch = join(host.workspace.temporary, `tree-${recipe.request.target}`);
  const packages = await host.stage(
    'fetch',
    () => fetchPackages(host, lock, recipe, options.packages),
    ({ lock: { packages: list } }) => ({ detail: `${list.length} packages, all verified` }),
  );
  const tree = await host.stage(
    'tree',
    () =>
      buildTree(host, {
        recipe,
        packages,
        epoch: options.epoch ?? packages.newest,
        trustedKeys: keys.publicKeyring,
        scratch,
      }),
    ({ kernel }) => ({ detail: kernel === undefined ? 'no kernel' : `kernel ${kernel}` }),
  );
  await checkAccountDrift(host, { tree, head });
  const commit = await host.stage(
    'commit',
    () => commitTree(host, { tree, head, keys }),
    (made) => ({ reused: made.id === head?.id, detail: describe(made) }),
  );
  await remove(scratch);
  return commit;
}

/** Commit → Release. Where the published artifacts are made from the same, they stay. */
export async function releaseImage({ host, options, recipe, lock, commit, inputs }: Image): Promise<Release> {
  const { workspace } = host;
  const digest = imageDigest(recipe, commit, inputs);
  const published = await publishedRelease(host, commit, digest);
  if (published !== undefined) {
    return host.stage(
      'image',
      async () => published,
      () => ({ reused: true, detail: 'as published' }),
    );
  }
  const scratch = join(workspace.temporary, `image-${recipe.request.target}`);
  const staging = join(workspace.output, '.staging', recipe.request.target);
  await Promise.all([remove(scratch), remove(staging)]);
  await Promise.all([makeDirectory(scratch), makeDirectory(staging)]);
  const name = artifactName(recipe.ref, commit.version);
  const { artifacts, partitions } = await host.stage(
    'image',
    () => makeArtifacts(host, { recipe, commit, inputs, name, directory: staging, scratch }),
    (made) => ({ detail: made.artifacts.length === 1 ? '1 file' : `${made.artifacts.length} files` }),
  );
  await remove(scratch);
  const manifest = {
    ref: recipe.ref,
    commit: commit.id,
    parent: commit.parent ?? null,
    version: commit.version,
    timestamp: commit.timestamp,
    recipe: recipe.digest,
    lock: lock.digest,
    inputs: digest,
    packages: lock.packages.map(({ name: packageName, version }) => ({ name: packageName, version })),
    partitions,
    artifacts: artifacts.map(artifactRecord),
    stages: host.times,
  };
  return publishRelease(workspace, {
    staging,
    manifest,
    lock: formatLocks(new Map([[recipe.ref, lock]])),
    keep: options.keep,
  });
}

/** Whether the artifacts that this image would give are published already. */
export async function isReleased({ host, recipe, commit, inputs }: Image): Promise<boolean> {
  return (await publishedRelease(host, commit, imageDigest(recipe, commit, inputs))) !== undefined;
}

async function publishedRelease(host: Host, commit: Commit, digest: string): Promise<Release | undefined> {
  const found = await readRelease(join(releasesOf(host.workspace, commit.ref), commit.version));
  return found?.manifest.inputs === digest && found.manifest.commit === commit.id ? found : undefined;
}

/** What a build reads beside its layers; read first, so that a mistake in it costs no build. */
async function readInputs(host: Host, options: BuildOptions): Promise<ImageInputs> {
  refuseForeignArchitecture(options.request.arch);
  const layout = await readLayout(options.layout);
  if (options.request.target === 'vm') await verifyLayout(host, layout);
  return { layout, keys: await readPublicKeys(options.sshKeys), flat: options.flat };
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
async function treeDigest(
  recipe: Recipe,
  lock: Lock,
  { keys, epoch }: { keys: SigningKeys; epoch: number | undefined },
): Promise<string> {
  const trusted = await fileSha256(keys.publicKeyring);
  return sha256(JSON.stringify([recipe.digest, lock.digest, codeDigest(), trusted, epoch ?? null]));
}

const describe = ({ version, id }: Commit): string => `${version}, commit ${id.slice(0, 12)}`;
