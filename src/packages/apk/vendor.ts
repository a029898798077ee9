import { join } from 'node:path';
import { copy, makeDirectory, writeFile } from '../../host/files.ts';
import type { Host } from '../../host/host.ts';
import type { Lock, LockedPackage, Recipe } from '../../model.ts';
import type { PackageOptions } from '../backend.ts';
import { fetchPackages } from './fetch.ts';
import { writeRepository } from './local-repository.ts';
import { mirrorsOf, repositoriesOf } from './repositories.ts';
import { openWorkspaceKey } from './workspace-key.ts';

/**
 * Writes what locks name as a mirror: DIRECTORY/RELEASE/REPOSITORY/ARCH, every repository of the recipes with an index
 * that the workspace's key signs, the packages as they are. Locks of one release and architecture share one.
 */
export async function vendorApks(
  host: Host,
  images: readonly { recipe: Recipe; lock: Lock; options: PackageOptions }[],
  directory: string,
): Promise<number> {
  const key = await openWorkspaceKey(host.workspace);
  const places = new Map<string, Place>();
  for (const { recipe, lock, options } of images) {
    const { release, architecture } = recipe.distribution;
    const repositories = await repositoriesOf(host, recipe, mirrorsOf(recipe, options));
    const wanted = [...lock.packages, ...lock.tools];
    const { offline } = options;
    const fetched = await fetchPackages(host, wanted, { repositories, recipe, offline, stage: 'vendor' });
    for (const { name } of recipe.repositories) {
      const path = join(directory, release, name);
      const place = places.get(`${path} ${architecture}`) ?? { path, architecture, packages: new Map() };
      for (const file of fetched.filter((candidate) => candidate.package.source === name))
        place.packages.set(identityOf(file.package), file);
      places.set(`${path} ${architecture}`, place);
    }
    for (const { keys } of recipe.repositories) {
      await makeDirectory(join(directory, 'keys'));
      for (const { name, path } of keys) await copy(path, join(directory, 'keys', name));
    }
  }
  for (const { path, architecture, packages } of places.values()) {
    const options = { architecture, key: key.signing, description: 'vendored by Treeline', share: false };
    await writeRepository(path, [...packages.values()], options);
  }
  await writeFile(join(directory, 'keys', key.public.name), key.pem);
  return [...places.values()].reduce((sum, { packages }) => sum + packages.size, 0);
}

interface Place {
  path: string;
  architecture: string;
  packages: Map<string, Awaited<ReturnType<typeof fetchPackages>>[number]>;
}

const identityOf = ({ name, version }: LockedPackage): string => `${name}-${version}`;
