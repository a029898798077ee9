import { join } from 'node:path';
import { TreelineError } from '../host/errors.ts';
import { listNames, pathExists, readEntry, realPath } from '../host/files.ts';
import { knownNamesHint } from '../host/nearest.ts';
import { readLayerFile } from './layer-reader.ts';
import { layerEntries } from './layers.ts';
import { Problems } from './problems.ts';

export interface ResolvedBase {
  /** The directory below base/: `debian`. */
  distro: string;
  /** The directory below that: `12`. */
  release: string;
}

/** Names that --base takes: every distribution, and every one of its releases: `debian`, `debian-12`. Sorted. */
export async function listBases(overlays: string): Promise<string[]> {
  const bases = await releasesByDistribution(overlays);
  return [...bases].flatMap(([distro, releases]) => [
    distro,
    ...releases.map((release) => `${distro}-${release}`),
  ]);
}

/** Names that --service takes. Sorted. */
export const listServices = (overlays: string): Promise<string[]> =>
  listDirectories(join(overlays, 'service'));

/**
 * The base that `name` means: `debian-12` is that directory, `debian` the release that base/debian/layer.yaml names.
 * Throws TreelineError 'usage' where there is none such, 'recipe' where the base names no release.
 */
export async function resolveBase(overlays: string, name: string): Promise<ResolvedBase> {
  if (!(await pathExists(overlays))) {
    throw new TreelineError('usage', `Cannot read the layers: there is no directory ${overlays}`, {
      hint: 'Run from the checkout, or name the directory that holds common/, base/ and target/.',
    });
  }
  for (const [distro, releases] of await releasesByDistribution(overlays)) {
    if (name === distro) return { distro, release: await defaultRelease(overlays, distro, releases) };
    const release = releases.find((candidate) => name === `${distro}-${candidate}`);
    if (release !== undefined) return { distro, release };
  }
  throw new TreelineError(
    'usage',
    `Cannot use base ${name}: there is none of this name in ${join(overlays, 'base')}`,
    {
      hint: knownNamesHint(name, await listBases(overlays)),
    },
  );
}

async function defaultRelease(
  overlays: string,
  distro: string,
  releases: readonly string[],
): Promise<string> {
  const directory = join(overlays, 'base', distro);
  const layer = { name: `base/${distro}`, directory, root: await realPath(directory), part: false };
  const problems = new Problems();
  const { file, origin } = await readLayerFile(layer, problems);
  if (file.release === undefined) {
    problems.add(
      origin(),
      `the setting release is missing: which of ${releases.join(', ') || '(none)'} \`${distro}\` means`,
    );
  } else if (!releases.includes(file.release)) {
    problems.add(
      origin('release'),
      `there is no directory ${file.release} beside it. ${knownNamesHint(file.release, releases)}`,
    );
  }
  problems.throwIfAny([layer]);
  return file.release!;
}

async function releasesByDistribution(overlays: string): Promise<Map<string, string[]>> {
  const known = new Map<string, string[]>();
  for (const distro of await listDirectories(join(overlays, 'base'))) {
    const inside = await listDirectories(join(overlays, 'base', distro));
    known.set(
      distro,
      inside.filter((name) => !layerEntries.includes(name)),
    );
  }
  return known;
}

async function listDirectories(path: string): Promise<string[]> {
  const names = (await listNames(path)).filter((name) => !name.startsWith('.'));
  const kinds = await Promise.all(names.map(async (name) => (await readEntry(join(path, name)))?.kind));
  return names.filter((_, index) => kinds[index] === 'directory');
}
