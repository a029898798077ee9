import { dirname, join } from 'node:path';
import { z } from 'zod';
import { downloadFromAny } from '../../host/download.ts';
import { TreelineError } from '../../host/errors.ts';
import {
  makeDirectory,
  move,
  pathExists,
  readBytes,
  readTextIfExists,
  remove,
  sha256,
  writeFileAtomically,
} from '../../host/files.ts';
import type { Host } from '../../host/host.ts';
import type { Recipe } from '../../model.ts';
import type { PackageOptions } from '../backend.ts';
import { readIndex } from './formats/index-file.ts';
import type { IndexEntry } from './formats/index-file.ts';
import { identityOf, isDirectory, mirrorsOf, repositoriesOf } from './repositories.ts';
import type { ApkRepository } from './repositories.ts';

/** A repository whose index lies on this machine. */
export interface IndexedRepository extends ApkRepository {
  /** Absolute; holds ARCH/APKINDEX.tar.gz. */
  directory: string;
  /** Verified against the repository's keys. Throws 'package' where it does not verify. */
  entries: readonly IndexEntry[];
}

export interface Indexes {
  /** Where what was found out from these indexes may be kept. Absolute. */
  directory: string;
  /** Names these indexes and who may sign them: another state gives another answer. */
  state: string;
  /** Parses and verifies; as this takes a while for a full mirror, only on demand. */
  read(): readonly IndexedRepository[];
}

/** Indexes younger than this (seconds) are used as they are, unless a refresh is asked for. */
const staysFresh = 3600;

/** Bytes; Alpine's largest has 3 MB. */
const largestIndex = 64 << 20;

const stampSchema = z.object({ refreshedAt: z.number() });

/** The indexes of a recipe's repositories, fetched where they are not recent. Throws 'network' where that fails. */
export async function openIndexes(host: Host, recipe: Recipe, options: PackageOptions): Promise<Indexes> {
  const mirrors = mirrorsOf(recipe, options);
  const repositories = await repositoriesOf(host, recipe, mirrors);
  const { architecture } = recipe.distribution;
  const directory = join(
    host.workspace.cache,
    'apk',
    sha256(`${identityOf(repositories)} ${architecture}`).slice(0, 16),
  );
  const fileOf = (name: string): string => join(directory, 'indexes', name, architecture, 'APKINDEX.tar.gz');
  const stamp = join(directory, 'refreshed');
  const present = await Promise.all(repositories.map(({ name }) => pathExists(fileOf(name))));
  const refreshedAt = present.every(Boolean) ? parseStamp(await readTextIfExists(stamp)) : 0;
  const local = repositories.every(({ places }) => isDirectory(places[0]!));
  if (local || mustRefresh(refreshedAt, recipe, options)) {
    for (const repository of repositories) {
      const sources = repository.places
        .filter((place) => !options.offline || isDirectory(place))
        .map((place) => `${place}/${architecture}/APKINDEX.tar.gz`);
      if (sources.length === 0) throw offlineError(recipe, repository.name);
      await bringIndex(host, recipe, { repository, sources, file: fileOf(repository.name) });
    }
    // Only now: a mirror that fails half-way leaves the indexes that were there.
    for (const { name } of repositories) await move(fresh(fileOf(name)), fileOf(name));
    await writeFileAtomically(stamp, JSON.stringify({ refreshedAt: Math.floor(Date.now() / 1000) }));
  }
  const files = await Promise.all(repositories.map(async ({ name }) => readBytes(fileOf(name))));
  return {
    directory,
    state: sha256(JSON.stringify([identityOf(repositories), ...files.map((bytes) => sha256(bytes))])),
    read: () =>
      repositories.map((repository, index) => ({
        ...repository,
        directory: join(directory, 'indexes', repository.name),
        entries: readIndex(files[index]!, {
          label: `the index of ${repository.name} from ${repository.places.join(' or ')}`,
          keys: repository.keys,
        }),
      })),
  };
}

const fresh = (file: string): string => `${file}.new`;

/** Brings an index beside `file`; it is verified unless it is the same as that. */
async function bringIndex(
  host: Host,
  { distribution }: Recipe,
  { repository, sources, file }: { repository: ApkRepository; sources: readonly string[]; file: string },
): Promise<void> {
  await makeDirectory(dirname(file));
  // An index changes under its name: the rest of another day's would not fit.
  await remove(`${fresh(file)}.part`);
  const known = (await pathExists(file)) ? await readBytes(file) : undefined;
  await downloadFromAny(host, {
    sources,
    path: fresh(file),
    limit: largestIndex,
    what: `the package index ${repository.name} of ${distribution.name} ${distribution.release}`,
    hint: sources.every(isDirectory)
      ? 'Is the directory a mirror (MIRROR/RELEASE/REPOSITORY/ARCH), and does it have this release? --base NAME-RELEASE names another one.'
      : 'Check the network and the name of the release, name another mirror with --mirror, or build from what was fetched before with --offline.',
    verify: async (source) => {
      const bytes = await readBytes(fresh(file));
      if (known?.equals(bytes) === true) return;
      const label = `the index of ${repository.name} from ${source}`;
      readIndex(bytes, { label, keys: repository.keys });
    },
  });
}

function mustRefresh(refreshedAt: number, recipe: Recipe, { offline, refresh }: PackageOptions): boolean {
  if (offline) {
    if (refreshedAt > 0) return false;
    throw offlineError(recipe);
  }
  const age = Date.now() / 1000 - refreshedAt;
  return refresh || age < 0 || age >= staysFresh;
}

function parseStamp(text: string | undefined): number {
  try {
    return stampSchema.parse(JSON.parse(text ?? '')).refreshedAt;
  } catch {
    return 0;
  }
}

function offlineError({ ref }: Recipe, name?: string): TreelineError {
  const what =
    name === undefined ? 'this workspace has no package indexes yet' : `${name} is not on this machine`;
  return new TreelineError('network', `Cannot build ${ref} offline: ${what}`, {
    hint: 'Build once without --offline, or name a directory that npm run vendor made with --mirror DIR.',
  });
}
