import { join } from 'node:path';
import { TreelineError } from '../host/errors.ts';
import { listNames, readEntry, realPath } from '../host/files.ts';
import { knownNamesHint, nearestName } from '../host/nearest.ts';
import { targets } from '../model.ts';
import type { Layer, Request } from '../model.ts';
import type { ResolvedBase } from './bases.ts';
import type { Problems } from './problems.ts';

/** What a layer's directory may hold. */
export const layerEntries: readonly string[] = [
  'layer.yaml',
  'packages.list',
  'pkg-map.json',
  'rootfs',
  'hooks',
  'keys',
  'base',
  'target',
];

/** A layer, or the part of one that applies to one base or target only. */
export interface FoundLayer extends Layer {
  /** Real path of the layer that it is (a part of): nothing that is read may lead out of it. */
  root: string;
  part: boolean;
}

/**
 * The layers of a request that exist, general to specific, each followed by its own parts for this base and target.
 * Throws TreelineError 'usage' where an --overlay directory cannot be one.
 */
export async function findLayers(
  request: Request,
  base: ResolvedBase,
  problems: Problems,
): Promise<FoundLayer[]> {
  const { distro, release } = base;
  const bases = [`base/${distro}`, `base/${distro}/${release}`, `base/${distro}/${release}/${request.arch}`];
  const parts = [...bases, `target/${request.target}`];
  const services = [...new Set(request.services)].map((service) => `service/${service}`);
  const own = ['common', ...parts, ...services].map((name) => ({
    name,
    directory: join(request.overlays, name),
  }));
  const extra = request.extraLayers.map((directory) => ({ name: directory, directory }));
  await checkExtraLayers(request.extraLayers);

  const found: FoundLayer[] = [];
  for (const layer of [...own, ...extra]) {
    if (!extra.includes(layer) && !(await isLayer(layer, problems))) continue;
    const root = await realPath(layer.directory);
    found.push({ ...layer, root, part: false });
    for (const name of parts) {
      const part = { name: `${layer.name}/${name}`, directory: join(layer.directory, name) };
      if (await isLayer(part, problems)) found.push({ ...part, root, part: true });
    }
  }
  const distros = (await listNames(join(request.overlays, 'base'))).filter((name) => !name.startsWith('.'));
  for (const layer of found) await checkEntries(layer, distros, problems);
  return found;
}

async function checkExtraLayers(directories: readonly string[]): Promise<void> {
  const seen = new Map<string, string>();
  for (const directory of directories) {
    const refuse = (reason: string): never => {
      throw new TreelineError('usage', `Cannot use --overlay ${directory}: ${reason}`, {
        hint: `A layer is a directory with any of ${layerEntries.join(', ')}.`,
      });
    };
    const real = await realPath(directory).catch((error: unknown) => refuse(readFailure(error)));
    if ((await readEntry(real))?.kind !== 'directory') refuse('it is not a directory');
    const names = await listNames(real).catch((error: unknown) => refuse(readFailure(error)));
    if (!names.some((name) => layerEntries.includes(name))) refuse('nothing in it belongs to a layer');
    const earlier = seen.get(real);
    if (earlier !== undefined) refuse(`it is given twice (${earlier})`);
    seen.set(real, directory);
  }
}

/** Why the system would not let us read a file, in words. */
export function readFailure(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return 'it does not exist';
  if (code === 'EACCES' || code === 'EPERM') return 'this user may not read it';
  if (code === 'ENOTDIR') return 'a part of the path is not a directory';
  return message;
}

async function isLayer(layer: Layer, problems: Problems): Promise<boolean> {
  const kind = (await readEntry(layer.directory))?.kind;
  if (kind === undefined || kind === 'directory') return kind === 'directory';
  problems.add(
    { layer: layer.name, file: layer.directory },
    'a layer must be a real directory, not a link or a file',
  );
  return false;
}

/** Finds names that somebody meant for something that a layer holds: left alone, they would silently do nothing. */
async function checkEntries(
  layer: FoundLayer,
  distros: readonly string[],
  problems: Problems,
): Promise<void> {
  const complain = (name: string, message: string): void =>
    problems.add({ layer: layer.name, file: join(layer.directory, name) }, message);
  for (const name of await visibleNames(layer.directory)) {
    const meant = layerEntries.includes(name) ? undefined : nearestName(name, layerEntries);
    if (meant !== undefined && meant[0] === name[0] && Math.abs(meant.length - name.length) <= 2) {
      complain(name, `a layer has no such entry. Did you mean ${meant}?`);
    }
  }
  const conditions = ['base', 'target'].map((name) => join(layer.directory, name));
  for (const directory of conditions) {
    const kind = (await readEntry(directory))?.kind;
    if (kind === undefined) continue;
    const origin = { layer: layer.name, file: directory };
    if (kind !== 'directory') problems.add(origin, 'must be a real directory, not a link or a file');
    else if (layer.part) problems.add(origin, 'directories for one base or target cannot lie in one another');
    else await checkConditions(layer, directory, distros, problems);
  }
}

async function checkConditions(
  layer: FoundLayer,
  directory: string,
  distros: readonly string[],
  problems: Problems,
): Promise<void> {
  const forTargets = directory.endsWith('/target');
  for (const name of await visibleNames(directory)) {
    const origin = { layer: layer.name, file: join(directory, name) };
    if (forTargets && !(targets as readonly string[]).includes(name)) {
      problems.add(origin, `there is no target ${name}. ${knownNamesHint(name, targets)}`);
    }
    // A layer may speak of a base that this checkout does not have; only a slip is an error.
    const slip = forTargets || distros.includes(name) ? undefined : nearestName(name, distros);
    if (slip !== undefined)
      problems.add(origin, `there is no base ${name}. ${knownNamesHint(name, distros)}`);
  }
}

/** Names in a directory without hidden files, editors' backups and READMEs. */
export async function visibleNames(directory: string): Promise<string[]> {
  const names = await listNames(directory);
  return names.filter((name) => !name.startsWith('.') && !name.endsWith('~') && !name.startsWith('README'));
}
