import { TreelineError } from '../host/errors.ts';
import type { Host } from '../host/host.ts';
import type { Lock, PackageSet, Recipe } from '../model.ts';
import type { PackageBackend, PackageOptions } from './backend.ts';
import { apkBackend } from './apk/backend.ts';
import { debBackend } from './deb/backend.ts';
import { readLock } from './lock.ts';

const backends: Record<Recipe['distribution']['packages'], PackageBackend> = {
  apk: apkBackend,
  deb: debBackend,
};

/** Recipe → Lock: the exact packages, as a lock file names them, or by the distribution's own resolver. */
export const resolvePackages = (host: Host, recipe: Recipe, options: PackageOptions): Promise<Lock> =>
  options.lock === undefined
    ? backendOf(recipe).resolve(host, recipe, options)
    : readLock(options.lock, recipe);

/** Lock → PackageSet: every package as a verified file in the cache. */
export const fetchPackages = (
  host: Host,
  lock: Lock,
  recipe: Recipe,
  options: PackageOptions,
): Promise<PackageSet> => backendOf(recipe).fetch(host, lock, recipe, options);

/** Writes what locks name as a mirror; see PackageBackend.vendor. `requireVendoring` comes before. */
export async function vendorPackages(
  host: Host,
  images: readonly { recipe: Recipe; lock: Lock; options: PackageOptions }[],
  directory: string,
): Promise<number> {
  const [first] = images;
  return first === undefined ? 0 : backendOf(first.recipe).vendor!(host, images, directory);
}

/** Throws 'usage' where the packages of one of the recipes cannot be kept as a mirror. */
export function requireVendoring(recipes: readonly Recipe[]): void {
  for (const recipe of recipes) {
    const { name } = recipe.distribution;
    if (backendOf(recipe).vendor !== undefined) continue;
    throw new TreelineError(
      'usage',
      `Cannot vendor the packages of ${recipe.ref}: ${name} has no such mirror`,
      {
        hint: 'Vendoring is for the base alpine: choose it with --base. Debian keeps all versions at its snapshot archive.',
      },
    );
  }
}

const backendOf = (recipe: Recipe): PackageBackend => backends[recipe.distribution.packages];
