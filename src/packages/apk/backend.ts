import type { Host } from '../../host/host.ts';
import type { Lock, PackageSet, Recipe } from '../../model.ts';
import type { PackageBackend, PackageOptions } from '../backend.ts';
import { fetchPackages } from './fetch.ts';
import { installApks } from './install.ts';
import { mirrorsOf, repositoriesOf } from './repositories.ts';
import { resolveApks } from './resolve.ts';
import { vendorApks } from './vendor.ts';

/** Alpine: apk, brought from the mirror, resolves from verified indexes and installs in a sandbox. */
export const apkBackend: PackageBackend = { resolve: resolveApks, fetch: fetchApks, vendor: vendorApks };

/** Lock → PackageSet. Packages are kept by checksum; what is damaged is fetched again. */
async function fetchApks(
  host: Host,
  lock: Lock,
  recipe: Recipe,
  options: PackageOptions,
): Promise<PackageSet> {
  const repositories = await repositoriesOf(host, recipe, mirrorsOf(recipe, options));
  const wanted = [...lock.packages, ...lock.tools];
  const { offline } = options;
  const fetched = await fetchPackages(host, wanted, { repositories, recipe, offline, stage: 'fetch' });
  const files = fetched.slice(0, lock.packages.length);
  const tools = fetched.slice(lock.packages.length);
  return {
    lock,
    files,
    newest: Math.max(0, ...files.map(({ apk }) => apk.buildDate)),
    install: (root) => installApks(host, { recipe, packages: files, tools, root }),
  };
}
