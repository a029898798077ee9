import { join } from 'node:path';
import type { Host } from '../../src/host/host.ts';
import type { PackageSet, Recipe } from '../../src/model.ts';
import { findMerged, layOutMerged, mergeInputs, mergePackages } from '../../src/tree/packages.ts';
import { findPackedDebs, unpackDebs } from '../../src/tree/unpack-debs.ts';

/** Unpacks, merges and lays out packages, as a build does where it has none of that yet. */
export async function layOutPackages(
  host: Host,
  job: { recipe: Recipe; packages: PackageSet; directory: string; writable: boolean },
): Promise<void> {
  const { recipe, packages, directory, writable } = job;
  const inputs = mergeInputs(recipe, packages.lock);
  const kept = await findMerged(host, inputs);
  const merge = async () => {
    if (packages.install === undefined)
      await unpackDebs(host, await findPackedDebs(host, packages.files, { anew: false }));
    return mergePackages(host, {
      recipe,
      packages,
      inputs,
      scratch: join(host.workspace.temporary, 'merging'),
    });
  };
  await layOutMerged(host, { merged: kept ?? (await merge()), directory, writable });
}
