import { TreelineError } from '../host/errors.ts';
import { knownNamesHint } from '../host/nearest.ts';
import { targets } from '../model.ts';
import type { Recipe, Request } from '../model.ts';
import { listServices, resolveBase } from './bases.ts';
import { digestOf, partsOf } from './digest.ts';
import { mergeDistribution } from './distribution.ts';
import { applyPermissions, mergeFiles } from './files.ts';
import type { History } from './history.ts';
import { mergeHooks, readHooks } from './hooks.ts';
import { mergeKeys, readKeys } from './keys.ts';
import { readLayerFile } from './layer-reader.ts';
import { findLayers } from './layers.ts';
import { readPackages, settleProvided } from './packages.ts';
import { Problems } from './problems.ts';
import { mergeRepositories } from './repositories.ts';
import { readRootfs } from './rootfs.ts';
import { mergeSettings } from './settings.ts';
import { checkSuitability } from './suitability.ts';

/** A recipe that also knows what its layers replaced and took back. */
export interface ReadRecipe extends Recipe {
  history: History;
}

/**
 * Finds, reads and merges the layers of a request. Throws TreelineError 'usage' for a base, target, service,
 * architecture or --overlay directory that does not exist, and 'recipe' with all that is wrong in the layers at once.
 */
export async function readRecipe(request: Request): Promise<ReadRecipe> {
  checkTarget(request.target);
  const base = await resolveBase(request.overlays, request.base);
  await checkServices(request);

  const problems = new Problems();
  const layers = await findLayers(request, base, problems);
  const inEach = <T>(read: (layer: (typeof layers)[number], found: Problems) => Promise<T>): Promise<T[]> =>
    Promise.all(layers.map((layer) => read(layer, problems)));
  const asked = await readPackages(layers, base, problems);
  const rootfs = await inEach(readRootfs);
  const hookLists = await inEach(readHooks);
  const { files, replaced: replacedFiles } = mergeFiles(rootfs, problems);
  const { hooks, replaced: replacedHooks } = mergeHooks(hookLists);
  const layerFiles = await inEach(readLayerFile);
  checkSuitability(layerFiles, { request, base });
  const keys = mergeKeys(await inEach((layer, found) => readKeys(layer, request.arch, found)));
  // What refers to other settings can only be judged where all of them could be read.
  problems.throwIfAny(layers);

  const { settings, provided, log, removed } = mergeSettings(layerFiles, problems);
  const packages = settleProvided(asked, provided, { layers, problems });
  const permitted = applyPermissions(files, settings.permissions, { origins: log.origins, problems });
  const repositories = mergeRepositories(layerFiles, { keys, log, problems });
  const distribution = mergeDistribution(layerFiles, { request, base, log, problems });
  problems.throwIfAny(layers);

  const recipe: Omit<Recipe, 'digest' | 'parts'> = {
    request,
    distribution,
    ref: `treeline/${distribution.id}-${distribution.release}/${request.arch}/${request.target}`,
    layers: layers.map(({ name, directory }) => ({ name, directory })),
    packages: packages.packages,
    provided: packages.provided,
    repositories,
    files: permitted,
    hooks,
    settings,
    origins: log.origins,
  };
  const history: History = {
    packages: packages.removed,
    settings: removed,
    files: replacedFiles,
    hooks: replacedHooks,
    replaced: log.replaced,
  };
  const parts = await partsOf(recipe);
  return { ...recipe, parts, digest: digestOf(parts), history };
}

function checkTarget(target: string): void {
  if ((targets as readonly string[]).includes(target)) return;
  throw new TreelineError('usage', `Cannot build for target ${target}: there is none of this name`, {
    hint: knownNamesHint(target, targets),
  });
}

async function checkServices({ overlays, services }: Request): Promise<void> {
  const known = await listServices(overlays);
  const unknown = services.find((service) => !known.includes(service));
  if (unknown === undefined) return;
  throw new TreelineError(
    'usage',
    `Cannot add service ${unknown}: there is none of this name in ${overlays}/service`,
    {
      hint: knownNamesHint(unknown, known),
    },
  );
}
