import { join } from 'node:path';
import { TreelineError } from '../../host/errors.ts';
import {
  fileSha256,
  fileSize,
  listNames,
  makeDirectory,
  markUsed,
  move,
  pathExists,
  readBytesAt,
  readEntry,
  remove,
} from '../../host/files.ts';
import type { Host } from '../../host/host.ts';
import { sideBySide } from '../../host/side-by-side.ts';
import type { Lock, LockedPackage, PackageSet, Recipe } from '../../model.ts';
import type { PackageOptions } from '../backend.ts';
import { cacheName } from '../cache-name.ts';
import type { Apt } from './apt.ts';
import { openApt } from './apt.ts';

/** Lock → PackageSet. Packages are kept by checksum; a damaged one is fetched again. */
export async function fetchDebs(
  host: Host,
  lock: Lock,
  recipe: Recipe,
  options: PackageOptions,
): Promise<PackageSet> {
  const store = join(host.workspace.cache, 'packages');
  await makeDirectory(store);
  const pathOf = (entry: LockedPackage): string => join(store, `${digestOf(entry)}.deb`);
  const missing = await missingPackages(lock.packages, pathOf);
  if (missing.length > 0) {
    if (options.offline) throw offlineError(missing);
    const mirrors = options.mirrors.length > 0 ? options.mirrors : recipe.settings.mirrors;
    await download(host, await openApt(host, recipe, mirrors), missing, pathOf);
  }
  const files = lock.packages.map((entry) => ({ package: entry, path: pathOf(entry) }));
  const dates = await Promise.all(files.map(({ path }) => readBuildDate(path)));
  return { lock, files, newest: Math.max(0, ...dates) };
}

/** SHA-256 of the file, hexadecimal. */
const digestOf = ({ checksum }: LockedPackage): string => cacheName(checksum);

async function missingPackages(
  packages: readonly LockedPackage[],
  pathOf: (entry: LockedPackage) => string,
): Promise<LockedPackage[]> {
  const checks = packages.map((entry) => async () => {
    const path = pathOf(entry);
    const intact = (await pathExists(path)) && (await fileSha256(path)) === digestOf(entry);
    await (intact ? markUsed(path) : remove(path));
    return intact ? [] : [entry];
  });
  return (await sideBySide(checks, 4)).flat();
}

/** `apt-get download` fetches, resumes what was interrupted, and verifies against the signed index; so do we, again. */
async function download(
  host: Host,
  apt: Apt,
  packages: readonly LockedPackage[],
  pathOf: (entry: LockedPackage) => string,
): Promise<void> {
  const { archives } = apt;
  const total = packages.reduce((sum, entry) => sum + entry.size, 0);
  const watch = setInterval(() => {
    void directoryBytes(archives).then((done) =>
      host.emit({
        type: 'stage-progress',
        stage: 'fetch',
        done: Math.min(done, total),
        total,
        unit: 'bytes',
      }),
    );
  }, 250);
  try {
    const wanted = packages.map((entry) => `${entry.name}=${entry.version}`);
    await apt.run('apt-get', ['download', '--quiet=2', ...wanted]);
  } catch (cause) {
    if (!(cause instanceof TreelineError) || cause.code !== 'command') throw cause;
    const hosts = [...new Set(packages.map((entry) => entry.source.split('/').slice(0, 3).join('/')))];
    throw new TreelineError(
      'network',
      `Cannot fetch ${packages.length} packages (${total} bytes) from ${hosts.join(', ')}`,
      {
        hint: 'Check the network and run the same command again: what has arrived is kept. --offline builds from the cache alone.',
        output: cause.output,
        cause,
      },
    );
  } finally {
    clearInterval(watch);
  }
  for (const entry of packages) await keep(archives, entry, pathOf(entry));
}

async function keep(archives: string, entry: LockedPackage, path: string): Promise<void> {
  const version = entry.version.replaceAll(':', '%3a');
  const arrived = join(archives, `${entry.name}_${version}_${entry.architecture}.deb`);
  const sha256 = (await pathExists(arrived)) ? await fileSha256(arrived) : 'nothing';
  if (sha256 !== digestOf(entry)) {
    await remove(arrived);
    throw new TreelineError(
      'package',
      `Cannot use ${entry.name} ${entry.version} from ${entry.source}: its SHA-256 is ${sha256}, not ${digestOf(entry)}`,
      {
        hint: 'The mirror may be changing right now: run the same command again with --refresh, or use another --mirror.',
      },
    );
  }
  await move(arrived, path);
}

async function directoryBytes(directory: string): Promise<number> {
  let sum = 0;
  for (const part of [directory, join(directory, 'partial')]) {
    for (const name of await listNames(part)) sum += (await readEntry(join(part, name)))?.size ?? 0;
  }
  return sum;
}

/** The time in the ar(5) header of a .deb's first member: when the package was built, seconds since 1970. */
async function readBuildDate(path: string): Promise<number> {
  const header = await readBytesAt(path, 8, 60);
  return (await fileSize(path)) < 68 ? 0 : Number(header.subarray(16, 28).toString('latin1').trim());
}

function offlineError(missing: readonly LockedPackage[]): TreelineError {
  const names = missing.map((entry) => `${entry.name} ${entry.version}`);
  const some =
    names.length > 5 ? `${names.slice(0, 5).join(', ')} and ${names.length - 5} more` : names.join(', ');
  return new TreelineError('network', `Cannot build offline: the cache lacks ${some}`, {
    hint: 'Build once without --offline; the packages then stay in the cache.',
  });
}
