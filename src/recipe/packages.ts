import type { RequestedPackage } from '../model.ts';
import type { ResolvedBase } from './bases.ts';
import type { FoundLayer } from './layers.ts';
import { mergeLists } from './lists.ts';
import type { Removal, Stated } from './lists.ts';
import { readPackageList } from './package-list.ts';
import { readPackageMap, translate } from './package-map.ts';
import type { PackageMap } from './package-map.ts';
import { compareText } from './problems.ts';
import type { Problems } from './problems.ts';

export interface MergedPackages {
  packages: RequestedPackage[];
  provided: RequestedPackage[];
  removed: Removal[];
}

/** The packages that all layers ask for, by the distribution's own names, translated layer by layer. */
export async function readPackages(
  layers: readonly FoundLayer[],
  base: ResolvedBase,
  problems: Problems,
): Promise<{ kept: Stated[]; removed: Removal[] }> {
  const lists: Stated[][] = [];
  const mapOfRoot = new Map<string, PackageMap>();
  for (const layer of layers) {
    const map = await readPackageMap(layer, base, problems);
    // A part of a layer falls back on the map of the layer that it lies in.
    const maps = layer.part ? [map, mapOfRoot.get(layer.root) ?? new Map()] : [map];
    if (!layer.part) mapOfRoot.set(layer.root, map);
    lists.push(translate(await readPackageList(layer, problems), maps));
  }
  return mergeLists(lists, problems);
}

/**
 * Settles packages that are both asked for and provided by something else in the tree: the more specific layer is
 * right; in one and the same layer it is a problem.
 */
export function settleProvided(
  asked: { kept: readonly Stated[]; removed: readonly Removal[] },
  provided: readonly Stated[],
  { layers, problems }: { layers: readonly FoundLayer[]; problems: Problems },
): MergedPackages {
  const rank = (stated: Stated): number => layers.findIndex((layer) => layer.name === stated.origin.layer);
  const packages = new Map(asked.kept.map((stated) => [stated.value, stated]));
  const inPlace = new Map(provided.map((stated) => [stated.value, stated]));
  const removed = [...asked.removed];
  for (const request of asked.kept) {
    const provision = inPlace.get(request.value);
    if (provision === undefined) continue;
    const difference = rank(request) - rank(provision);
    if (difference === 0)
      problems.add(request.origin, `${request.value} is also in the setting provided of this layer`);
    if (difference > 0) inPlace.delete(request.value);
    else {
      packages.delete(request.value);
      removed.push({ value: request.value, asked: request.origin, removed: provision.origin });
    }
  }
  return {
    packages: sorted(packages.values()),
    provided: sorted(inPlace.values()),
    removed: removed.toSorted((one, two) => compareText(one.value, two.value)),
  };
}

function sorted(stated: Iterable<Stated>): RequestedPackage[] {
  return [...stated]
    .map(({ value, origin }) => ({ name: value, origin }))
    .toSorted((one, two) => compareText(one.name, two.name));
}
