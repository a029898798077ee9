import { join } from 'node:path';
import { downloadFromAny } from '../../host/download.ts';
import { TreelineError } from '../../host/errors.ts';
import { makeDirectory, markUsed, move, pathExists, readBytes, remove, sha256 } from '../../host/files.ts';
import type { Host } from '../../host/host.ts';
import { sideBySide } from '../../host/side-by-side.ts';
import type { LockedPackage, Recipe } from '../../model.ts';
import { throughRootLinks } from '../../recipe/tree-paths.ts';
import { cacheName } from '../cache-name.ts';
import { checkPackage, verifyPackage } from './formats/package-file.ts';
import type { ApkPackage } from './formats/package-file.ts';
import { isDirectory, packageFile } from './repositories.ts';
import type { ApkRepository } from './repositories.ts';

/** A package in the cache, verified. */
export interface FetchedPackage {
  package: LockedPackage;
  /** Absolute. */
  path: string;
  apk: ApkPackage;
}

/** The most that a package may have, in bytes, whatever an index says. */
const largestPackage = 2 ** 31;

/**
 * Brings packages into the cache and verifies each: signature, checksum, content. Nothing that does not verify stays in
 * the cache. `stage`: the one that does it, of whose progress is told. Throws 'network' or 'package'.
 */
export async function fetchPackages(
  host: Host,
  wanted: readonly LockedPackage[],
  options: {
    repositories: readonly ApkRepository[];
    recipe: Recipe;
    offline: boolean;
    stage: 'resolve' | 'fetch' | 'vendor';
  },
): Promise<FetchedPackage[]> {
  const store = join(host.workspace.cache, 'packages');
  await makeDirectory(store);
  const silent = new Set<string>();
  const total = wanted.reduce((sum, entry) => sum + entry.size, 0);
  let done = 0;
  const fetchOne = async (entry: LockedPackage): Promise<FetchedPackage> => {
    const repository = repositoryOf(entry, options.repositories);
    const expectations = {
      label: `${entry.name} ${entry.version} from ${repository.name}`,
      keys: repository.keys,
      expected: entry,
      setuid: setuidPaths(options.recipe),
    };
    const paths = cachePaths(store, entry, expectations.setuid);
    const { path, apk } =
      (await readCached(paths.plain, expectations)) ??
      (await readCached(paths.privileged, expectations)) ??
      (await bring(host, {
        entry,
        repository,
        paths,
        expectations,
        silent,
        offline: options.offline,
      }));
    await markUsed(path);
    done += entry.size;
    host.emit({ type: 'stage-progress', stage: options.stage, done, total, unit: 'bytes' });
    return { package: entry, path, apk };
  };
  // One file may be wanted twice, for the tree and to run apk: then it is brought once.
  const turns = new Map<string, Promise<FetchedPackage>>();
  const inTurn = (entry: LockedPackage): Promise<FetchedPackage> => {
    const before = turns.get(entry.checksum);
    const turn = before === undefined ? fetchOne(entry) : before.then(() => fetchOne(entry));
    turns.set(entry.checksum, turn);
    return turn;
  };
  return sideBySide(
    wanted.map((entry) => () => inTurn(entry)),
    6,
  );
}

/** Both names of a file that lies below /usr in every tree, but need not in its package. */
const setuidPaths = ({ settings }: Recipe): string[] =>
  settings.setuid.flatMap((path) => [
    path,
    throughRootLinks(path),
    path.replace(/^usr\/(?=(bin|sbin|lib)\/)/, ''),
  ]);

interface CachePaths {
  /** Where a package lies that every recipe may have. */
  plain: string;
  /** Where it lies when only a recipe with the same setting `setuid` may. */
  privileged: string;
}

function cachePaths(store: string, { checksum }: LockedPackage, setuid: readonly string[]): CachePaths {
  const name = cacheName(checksum);
  return {
    plain: join(store, `${name}.apk`),
    privileged: join(store, `${name}-${sha256(setuid.toSorted().join('\n')).slice(0, 8)}.apk`),
  };
}

function repositoryOf(entry: LockedPackage, repositories: readonly ApkRepository[]): ApkRepository {
  const repository = repositories.find(({ name }) => name === entry.source);
  if (repository !== undefined) return repository;
  throw new TreelineError(
    'package',
    `Cannot fetch ${entry.name} ${entry.version}: no layer has the repository ${entry.source} that the lock names`,
    { hint: 'Add it to the setting repositories of a layer, or make a new lock.' },
  );
}

interface Expectations {
  label: string;
  keys: ApkRepository['keys'];
  expected: LockedPackage;
  setuid: readonly string[];
}

interface CachedFile {
  path: string;
  apk: ApkPackage;
}

async function readCached(path: string, expectations: Expectations): Promise<CachedFile | undefined> {
  if (!(await pathExists(path))) return undefined;
  try {
    return { path, apk: checkPackage(await readBytes(path), expectations) };
  } catch (error) {
    if (!(error instanceof TreelineError)) throw error;
    await remove(path);
    return undefined;
  }
}

async function bring(
  host: Host,
  job: {
    entry: LockedPackage;
    repository: ApkRepository;
    paths: CachePaths;
    expectations: Expectations;
    silent: Set<string>;
    offline: boolean;
  },
): Promise<CachedFile> {
  const { entry, repository, paths, expectations, silent, offline } = job;
  const sources = repository.places
    .filter((place) => !offline || isDirectory(place))
    .map((place) => `${place}/${packageFile(entry)}`);
  if (sources.length === 0) {
    throw new TreelineError(
      'network',
      `Cannot build offline: the cache lacks ${entry.name} ${entry.version}`,
      {
        hint: 'Build once without --offline; the packages then stay in the cache.',
      },
    );
  }
  const arrived = `${paths.plain}.new`;
  let file: CachedFile | undefined;
  await downloadFromAny(host, {
    sources,
    path: arrived,
    limit: Math.min(entry.size, largestPackage),
    what: `${entry.name} ${entry.version}`,
    hint: sources.every(isDirectory)
      ? 'The directory lacks it, or has another file of that name: npm run vendor writes it anew.'
      : 'A mirror that changed in the meantime has a newer version: run the same command again with --refresh. Alpine deletes superseded packages; npm run vendor keeps those of a lock.',
    silent,
    verify: async () => {
      file = placed(await readBytes(arrived), paths, expectations);
    },
  });
  await move(arrived, file!.path);
  return file!;
}

/** Verifies a package whole, and says where it belongs. */
function placed(bytes: Buffer, { plain, privileged }: CachePaths, expectations: Expectations): CachedFile {
  try {
    return { path: plain, apk: verifyPackage(bytes, { ...expectations, setuid: [] }) };
  } catch (error) {
    if (!(error instanceof TreelineError)) throw error;
    return { path: privileged, apk: verifyPackage(bytes, expectations) };
  }
}
