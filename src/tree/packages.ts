import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import picomatch from 'picomatch';
import { codeDigest } from '../host/code.ts';
import { listTree, makeDirectory, remove } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import { toolStamps } from '../host/tool-stamps.ts';
import type { Inputs } from '../inputs.ts';
import { inputsDigest, packageInputs } from '../inputs.ts';
import type { Lock, PackageSet, Recipe } from '../model.ts';
import { checkout, commitMerged, mergedRef, readKept } from '../ostree/packages.ts';
import { tidyInstalled } from './installed.ts';
import { pruneModules } from './kernel.ts';
import { checkOutDebs } from './unpack-debs.ts';
import { mergeUsr } from './usr-merge.ts';

/** The files of all packages of a lock, without what the recipe excludes, as a commit of the workspace's own. */
export interface MergedPackages {
  /** In the workspace's repository. */
  ref: string;
  /** Seconds since 1970: the newest build date among the packages. */
  newest: number;
}

/** What decides a merge. */
export function mergeInputs(recipe: Recipe, lock: Lock): Inputs {
  const { exclude, kernel, users, groups, setuid } = recipe.settings;
  const inputs: Inputs = {
    ...packageInputs(lock),
    'setting exclude': JSON.stringify(exclude),
    'setting kernel': JSON.stringify([kernel.enabled, kernel.modules]),
    'Treeline itself': codeDigest(),
    ...toolStamps(['ostree', ...(kernel.enabled ? ['depmod', 'gzip', 'xz', 'zstd'] : [])]),
  };
  if (recipe.distribution.packages === 'deb') return inputs;
  const [asked, provided] = [recipe.packages, recipe.provided].map((list) => list.map(({ name }) => name));
  return {
    ...inputs,
    'packages asked for': JSON.stringify(asked),
    'provided packages': JSON.stringify(provided),
    'setting users': JSON.stringify(users),
    'setting groups': JSON.stringify(groups),
    'setting setuid': JSON.stringify(setuid),
  };
}

/** The merge that these inputs gave before, if it is still there. */
export async function findMerged(host: Host, inputs: Inputs): Promise<MergedPackages | undefined> {
  const ref = mergedRef(inputsDigest(inputs));
  const kept = await readKept(host, ref);
  return kept === undefined ? undefined : { ref, newest: kept.timestamp };
}

/**
 * Merges packages by hard links, in the directory `scratch`, and keeps the result in the repository. Packages that are
 * unpacked as they are must be unpacked already (unpackDebs).
 */
export async function mergePackages(
  host: Host,
  options: { recipe: Recipe; packages: PackageSet; inputs: Inputs; scratch: string },
): Promise<MergedPackages> {
  const { recipe, packages, inputs, scratch } = options;
  const directory = join(scratch, 'merge');
  await remove(scratch);
  await makeDirectory(scratch);
  if (packages.install === undefined) {
    await checkOutDebs(host, packages, directory);
  } else {
    await packages.install(directory);
    await mergeUsr(directory);
    await tidyInstalled(directory, recipe);
  }
  await removeMatches(directory, recipe.settings.exclude);
  await pruneModules(host, directory, recipe);
  const ref = mergedRef(inputsDigest(inputs));
  await commitMerged(host, { ref, directory, timestamp: packages.newest });
  await remove(scratch);
  return { ref, newest: packages.newest };
}

/**
 * Lays a merge out in `directory`, which must not exist. `writable`: a copy; otherwise hard links into the repository,
 * whose files must be replaced, never written into.
 */
export const layOutMerged = (
  host: Host,
  { merged, directory, writable }: { merged: MergedPackages; directory: string; writable: boolean },
): Promise<void> => checkout(host, { ref: merged.ref, directory, writable });

/** Removes what a glob matches (paths relative to `directory`, no leading slash), directories with all below. */
export async function removeMatches(directory: string, globs: readonly string[]): Promise<void> {
  const matches = picomatch([...globs], { dot: true });
  const removed: string[] = [];
  for (const entry of await listTree(directory)) {
    if (removed.some((path) => entry.path.startsWith(`${path}/`)) || !matches(entry.path)) continue;
    await rm(join(directory, entry.path), { recursive: true });
    if (entry.kind === 'directory') removed.push(entry.path);
  }
}
