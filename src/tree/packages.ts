import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import PQueue from 'p-queue';
import picomatch from 'picomatch';
import { codeDigest } from '../host/code.ts';
import { listTree, sha256 } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import type { PackageSet, Recipe } from '../model.ts';
import { ostree } from '../ostree/repository.ts';
import {
  checkout,
  hasRef,
  importArchive,
  checkoutTogether,
  mergedRef,
  missingRefs,
  packageRef,
} from '../ostree/packages.ts';
import { readDataArchive } from '../packages/deb/archive.ts';
import { pruneModules } from './kernel.ts';

/**
 * Lays out the files of all packages in `directory` (which must not exist), without what the recipe excludes.
 * Each package is unpacked once and kept in the repository; so is the merge of exactly these packages.
 * `writable`: a copy; otherwise hard links into the repository.
 */
export async function layOutPackages(
  host: Host,
  options: { recipe: Recipe; packages: PackageSet; directory: string; writable: boolean },
): Promise<void> {
  const { recipe, packages, directory, writable } = options;
  const { exclude, kernel } = recipe.settings;
  const ref = mergedRef(
    sha256(JSON.stringify([packages.lock.digest, exclude, kernel.enabled, kernel.modules, codeDigest()])),
  );
  if (!(await hasRef(host, ref))) await merge(host, { recipe, packages, ref, scratch: `${directory}.merge` });
  await checkout(host, { ref, directory, writable });
}

async function merge(
  host: Host,
  { recipe, packages, ref, scratch }: { recipe: Recipe; packages: PackageSet; ref: string; scratch: string },
): Promise<void> {
  const refs = packages.files.map((file) => packageRef(file.package.sha256));
  const missing = new Set(await missingRefs(host, 'cache/package', refs));
  const wanted = packages.files.filter((file) => missing.has(packageRef(file.package.sha256)));
  // Large packages first, so that the last worker does not end with the kernel.
  const queue = new PQueue({ concurrency: 2 });
  const bySize = wanted.toSorted((a, b) => b.package.size - a.package.size);
  let done = 0;
  await queue.addAll(
    bySize.map((file) => async () => {
      const { name, sha256: digest } = file.package;
      await importArchive(host, { name, ref: packageRef(digest), archive: await readDataArchive(file.path) });
      done += 1;
      host.emit({ type: 'stage-progress', stage: 'tree', done, total: wanted.length, unit: 'packages' });
    }),
  );
  await rm(scratch, { recursive: true, force: true });
  await checkoutTogether(host, refs, scratch);
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
