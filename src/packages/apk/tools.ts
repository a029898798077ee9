import { join } from 'node:path';
import { TreelineError } from '../../host/errors.ts';
import { listTree, makeDirectory, pathExists, readEntry, realPath, sha256 } from '../../host/files.ts';
import type { Host } from '../../host/host.ts';
import { makeOnce } from '../../host/make-once.ts';
import type { LockedPackage } from '../../model.ts';
import type { FetchedPackage } from './fetch.ts';
import type { IndexEntry } from './formats/index-file.ts';
import type { IndexedRepository } from './indexes.ts';

/** Alpine's apk, unpacked: how it is called depends on what it was built for. */
export interface ApkProgram {
  /** Absolute. */
  directory: string;
  /** Program and first arguments, with `directory` seen at `programPlace`. */
  command: readonly string[];
}

/** Where sandboxes show the unpacked apk. */
export const programPlace = '/apk';

/**
 * The packages that make apk run on any Linux: the static one where the repositories have it, else apk-tools and the
 * libraries that it names. Throws 'package' where neither can be had.
 */
export function chooseTools(repositories: readonly IndexedRepository[]): LockedPackage[] {
  const untagged = repositories.filter(({ tag }) => tag === undefined);
  const offers = untagged.flatMap(({ name, entries }) => entries.map((entry) => ({ entry, source: name })));
  const byName = new Map<string, Offer>();
  const byProvision = new Map<string, Offer>();
  for (const offer of offers.toReversed()) {
    byName.set(offer.entry.name, offer);
    for (const provision of offer.entry.provides) byProvision.set(bareName(provision), offer);
  }
  const fixed = byName.get('apk-tools-static');
  if (fixed !== undefined) return [lockedPackage(fixed)];
  const chosen = new Map<string, Offer>();
  const choose = (dependency: string, askedBy: string): void => {
    const offer = byName.get(dependency) ?? byProvision.get(dependency);
    if (offer === undefined) {
      const places = untagged.map(({ places: [place] }) => place).join(', ');
      throw new TreelineError('package', `Cannot run apk: ${places} lacks ${dependency}${askedBy}`, {
        hint: 'The repositories must have apk-tools-static, or apk-tools and its libraries, as Alpine’s main has.',
      });
    }
    if (chosen.has(offer.entry.name)) return;
    chosen.set(offer.entry.name, offer);
    for (const next of offer.entry.dependencies.filter(isLibrary))
      choose(bareName(next), `, which ${offer.entry.name} needs`);
  };
  choose('apk-tools', '');
  choose('musl', '');
  return [...chosen.values()].map(lockedPackage);
}

interface Offer {
  entry: IndexEntry;
  source: string;
}

/** apk itself needs its libraries; what else its package asks for (keys, certificates) is for a system that it lives in. */
const isLibrary = (dependency: string): boolean => /^so:|^musl\b|^lib/.test(dependency);

/** `so:libz.so.1=1.3.1` → `so:libz.so.1` */
const bareName = (dependency: string): string => dependency.replace(/[<>=~].*$/, '');

export const lockedPackage = ({ entry, source }: Offer): LockedPackage => ({
  name: entry.name,
  version: entry.version,
  architecture: entry.architecture,
  source,
  size: entry.size,
  checksum: entry.checksum,
});

/** Unpacks apk where that was not done before. The packages were verified when they came into the cache. */
export async function unpackTools(host: Host, tools: readonly FetchedPackage[]): Promise<ApkProgram> {
  const names = tools.map(({ package: { name, checksum } }) => `${name} ${checksum}`).toSorted();
  const directory = join(host.workspace.cache, 'apk', 'tools', sha256(names.join('\n')).slice(0, 16));
  await makeOnce(directory, async (fresh) => {
    await makeDirectory(fresh);
    for (const { path, package: entry } of tools) {
      await refuseLinkedDirectories(fresh);
      await host.run({
        program: 'tar',
        // Signature and control files lie at the top, and have names that begin with a dot.
        args: [
          '--extract',
          '--gzip',
          '--warning=no-unknown-keyword',
          '--file',
          path,
          '--directory',
          fresh,
          '--no-same-owner',
          '--anchored',
          '--exclude=.*',
        ],
        doing: `unpack ${entry.name}`,
      });
    }
  });
  return { directory, command: await commandOf(directory) };
}

/** tar follows links to directories that an earlier package brought, and they may lead out. */
async function refuseLinkedDirectories(directory: string): Promise<void> {
  for (const { path, kind, link } of await listTree(directory)) {
    if (kind !== 'symlink') continue;
    const goal = await realPath(join(directory, path)).catch(() => undefined);
    if (goal === undefined || (await readEntry(goal))?.kind !== 'directory') continue;
    throw new TreelineError('package', `Cannot unpack apk: ${path} is a link to the directory ${link}`, {
      hint: 'The packages of apk and its libraries have none: take them from another repository.',
    });
  }
}

async function commandOf(directory: string): Promise<string[]> {
  for (const path of ['sbin/apk.static', 'usr/sbin/apk.static', 'usr/bin/apk.static', 'bin/apk.static']) {
    if (await pathExists(join(directory, path))) return [`${programPlace}/${path}`];
  }
  const loader = `lib/ld-musl-${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}.so.1`;
  const libraries = `${programPlace}/lib:${programPlace}/usr/lib`;
  for (const path of ['sbin/apk', 'usr/sbin/apk', 'usr/bin/apk']) {
    if ((await pathExists(join(directory, path))) && (await pathExists(join(directory, loader))))
      return [`${programPlace}/${loader}`, '--library-path', libraries, `${programPlace}/${path}`];
  }
  throw new TreelineError('package', `Cannot run apk: what should make it run lacks apk, or musl’s loader`, {
    hint: 'Build again with --refresh; where a lock names the packages (its list tools), make a new one with npm run lock.',
  });
}
