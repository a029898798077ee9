import { join } from 'node:path';
import picomatch from 'picomatch';
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

/**
 * Names that --base takes: every distribution, and every one of its releases: `debian`, `debian-12`; `alpine-v3.*` stands
 * for all that it matches. Sorted.
 */
export async function listBases(overlays: string): Promise<string[]> {
  const bases = await releasesByDistribution(overlays);
  return [...bases].flatMap(([distro, { directories, patterns }]) => {
    const releases = [...new Set([...directories, ...patterns])].toSorted();
    return [distro, ...releases.map((release) => `${distro}-${release}`)];
  });
}

/** Names that --service takes. Sorted. */
export const listServices = (overlays: string): Promise<string[]> =>
  listDirectories(join(overlays, 'service'));

/**
 * The base that `name` means: `debian-12` is that directory, `debian` the release that base/debian/layer.yaml names.
 * A release needs no directory where distribution.releases of that file covers it: `alpine-v3.19`. Throws TreelineError 'usage' where there is none such, 'recipe' where the base names no release.
 */
export async function resolveBase(overlays: string, name: string): Promise<ResolvedBase> {
  if (!(await pathExists(overlays))) {
    throw new TreelineError('usage', `Cannot read the layers: there is no directory ${overlays}`, {
      hint: 'Run from the checkout, or name the directory that holds common/, base/ and target/.',
    });
  }
  for (const [distro, releases] of await releasesByDistribution(overlays)) {
    if (name === distro) return { distro, release: await defaultRelease(overlays, distro, releases) };
    const release = name.startsWith(`${distro}-`) ? name.slice(distro.length + 1) : undefined;
    if (release !== undefined && isRelease(release, releases)) return { distro, release };
  }
  throw new TreelineError(
    'usage',
    `Cannot use base ${name}: there is none of this name in ${join(overlays, 'base')}`,
    {
      hint: knownNamesHint(name, await listBases(overlays)),
    },
  );
}

/** Releases that have a directory, and the patterns of those that need none. */
interface Releases {
  directories: string[];
  patterns: readonly string[];
}

const isRelease = (name: string, { directories, patterns }: Releases): boolean =>
  directories.includes(name) || (/^[a-z0-9][a-z0-9._-]*$/.test(name) && picomatch([...patterns])(name));

async function readBaseFile(overlays: string, distro: string) {
  const directory = join(overlays, 'base', distro);
  const layer = { name: `base/${distro}`, directory, root: await realPath(directory), part: false };
  const problems = new Problems();
  return { ...(await readLayerFile(layer, problems)), problems };
}

async function defaultRelease(overlays: string, distro: string, releases: Releases): Promise<string> {
  const { layer, file, origin, problems } = await readBaseFile(overlays, distro);
  const known = [...releases.directories, ...releases.patterns];
  if (file.release === undefined) {
    problems.add(
      origin(),
      `the setting release is missing: which of ${known.join(', ') || '(none)'} \`${distro}\` means`,
    );
  } else if (!isRelease(file.release, releases)) {
    problems.add(
      origin('release'),
      `there is no directory ${file.release} beside it. ${knownNamesHint(file.release, known)}`,
    );
  }
  problems.throwIfAny([layer]);
  return file.release!;
}

async function releasesByDistribution(overlays: string): Promise<Map<string, Releases>> {
  const known = new Map<string, Releases>();
  for (const distro of await listDirectories(join(overlays, 'base'))) {
    const inside = await listDirectories(join(overlays, 'base', distro));
    const { file } = await readBaseFile(overlays, distro);
    known.set(distro, {
      directories: inside.filter((name) => !layerEntries.includes(name)),
      patterns: file.distribution?.releases ?? [],
    });
  }
  return known;
}

async function listDirectories(path: string): Promise<string[]> {
  const names = (await listNames(path)).filter((name) => !name.startsWith('.'));
  const kinds = await Promise.all(names.map(async (name) => (await readEntry(join(path, name)))?.kind));
  return names.filter((_, index) => kinds[index] === 'directory');
}
