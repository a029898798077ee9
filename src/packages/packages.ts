import { TreelineError } from '../host/errors.ts';
import type { Host } from '../host/host.ts';
import type { Lock, PackageSet, Recipe } from '../model.ts';
import type { PackageBackend, PackageOptions } from './backend.ts';
import { debBackend } from './deb/backend.ts';

const backends: Partial<Record<Recipe['distribution']['packages'], PackageBackend>> = { deb: debBackend };

/** Recipe → Lock: the exact packages, by the distribution's own resolver. */
export const resolvePackages = (host: Host, recipe: Recipe, options: PackageOptions): Promise<Lock> =>
  backendOf(recipe).resolve(host, recipe, options);

/** Lock → PackageSet: every package as a verified file in the cache. */
export const fetchPackages = (
  host: Host,
  lock: Lock,
  recipe: Recipe,
  options: PackageOptions,
): Promise<PackageSet> => backendOf(recipe).fetch(host, lock, recipe, options);

function backendOf(recipe: Recipe): PackageBackend {
  const { packages, name } = recipe.distribution;
  const backend = backends[packages];
  if (backend === undefined) {
    throw new TreelineError(
      'usage',
      `Cannot install ${name}: packages of the kind "${packages}" are not supported yet`,
      {
        hint: 'Choose another base with --base.',
      },
    );
  }
  return backend;
}
