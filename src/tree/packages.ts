import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import picomatch from 'picomatch';
import { codeDigest } from '../host/code.ts';
import { listTree, sha256 } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import type { PackageSet, Recipe } from '../model.ts';
import { checkout, hasRef, mergedRef } from '../ostree/packages.ts';
import { ostree } from '../ostree/repository.ts';
import { tidyInstalled } from './installed.ts';
import { pruneModules } from './kernel.ts';
import { unpackDebs } from './unpack-debs.ts';
import { mergeUsr } from './usr-merge.ts';

/**
 * Lays out the files of all packages in `directory` (which must not exist), without what the recipe excludes, with
 * everything below /usr that belongs there. The merge of exactly these packages is made once and kept in the repository.
 * `writable`: a copy; otherwise hard links into the repository.
 */
export async function layOutPackages(
  host: Host,
  options: { recipe: Recipe; packages: PackageSet; directory: string; writable: boolean },
): Promise<void> {
  const { recipe, packages, directory, writable } = options;
  const ref = mergedRef(sha256(JSON.stringify([packages.lock.digest, decisiveParts(recipe), codeDigest()])));
  if (!(await hasRef(host, ref))) await merge(host, { recipe, packages, ref, scratch: `${directory}.merge` });
  await checkout(host, { ref, directory, writable });
}

/** What of a recipe decides the merge, besides the packages themselves. */
function decisiveParts(recipe: Recipe): unknown[] {
  const { exclude, kernel, users, groups } = recipe.settings;
  const parts = [exclude, kernel.enabled, kernel.modules];
  if (recipe.distribution.packages === 'deb') return parts;
  const names = [recipe.packages, recipe.provided].map((list) => list.map(({ name }) => name));
  return [...parts, names, users, groups];
}

async function merge(
  host: Host,
  { recipe, packages, ref, scratch }: { recipe: Recipe; packages: PackageSet; ref: string; scratch: string },
): Promise<void> {
  await rm(scratch, { recursive: true, force: true });
  if (packages.install === undefined) {
    await unpackDebs(host, packages, scratch);
  } else {
    await packages.install(scratch);
    await mergeUsr(scratch);
    await tidyInstalled(scratch, recipe);
  }
  await removeMatches(scratch, recipe.settings.exclude);
  await pruneModules(host, scratch, recipe);
  await ostree(host, [
    'commit',
    `--branch=${ref}`,
    '--timestamp=@0',
    '--subject=',
    '--link-checkout-speedup',
    `--tree=dir=${scratch}`,
  ]);
  await rm(scratch, { recursive: true });
}

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
