import { join } from 'node:path';
import { pathExists, readTextIfExists } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import { inputsDigest, readInputs } from '../inputs.ts';
import { mergedRef, packageRef } from '../ostree/packages.ts';
import { cacheName } from '../packages/cache-name.ts';
import { readLocks } from '../packages/lock.ts';
import { listReleases } from '../release/releases.ts';
import { readIndex } from '../release/update-index.ts';

/** What the published images, and their next updates, are made of. */
export interface Needs {
  /** Files of packages, by cacheName. */
  packages: ReadonlySet<string>;
  /** The checksums of each lock, sorted, one a line. */
  locks: ReadonlySet<string>;
  /** Refs of the workspace's own: unpacked packages and merges. */
  refs: ReadonlySet<string>;
  /** Commits that releases and the update index name. */
  commits: ReadonlySet<string>;
  /** Names in cache/commits: what the heads were made of. */
  inputs: ReadonlySet<string>;
  /** Names in cache/inputs. */
  images: ReadonlySet<string>;
  /** Heads without a release in the output directory: nobody knows which packages they are made of. */
  unreleased: readonly string[];
}

/** What the user decides of that. */
export interface Asked {
  /** From how many releases before the next one deltas lead to it. */
  deltas: number;
  /** The locks that images are built from, absolute. */
  lockFiles: readonly string[];
}

/** `heads`: the refs of all images. */
export async function readNeeds(
  host: Host,
  { heads, lockFiles }: { heads: readonly string[]; lockFiles: readonly string[] },
): Promise<Needs> {
  const { workspace } = host;
  const releases = await listReleases(workspace);
  const index = await readIndex(workspace);
  const paths = [...releases.map(({ directory }) => join(directory, 'lock.json')), ...lockFiles];
  const locks = (await Promise.all([...new Set(paths)].map((path) => readChecksums(host, path)))).flat();
  const checksums = [...new Set(locks.flat())];
  const digests = async (stage: 'merge' | 'tree'): Promise<string[]> =>
    (await Promise.all(heads.map((ref) => readInputs(host, { ref, stage })))).flatMap((inputs) =>
      inputs === undefined ? [] : [inputsDigest(inputs)],
    );
  return {
    packages: new Set(checksums.map(cacheName)),
    locks: new Set(locks.map(lockSignature)),
    refs: new Set([
      ...checksums.map((checksum) => packageRef(cacheName(checksum))),
      ...(await digests('merge')).map(mergedRef),
    ]),
    commits: new Set([
      ...releases.map(({ manifest }) => manifest.commit),
      ...Object.values(index.refs).map(({ commit }) => commit),
      ...index.deltas.flatMap(({ from, to }) => (from === null ? [to] : [from, to])),
    ]),
    inputs: new Set(await digests('tree')),
    unreleased: heads.filter((ref) => !releases.some(({ manifest }) => manifest.ref === ref)),
    images: new Set(heads.map((ref) => ref.replaceAll('/', '-'))),
  };
}

/** For Needs.locks. */
export const lockSignature = (checksums: readonly string[]): string =>
  [...new Set(checksums)].toSorted().join('\n');

/** Of each lock of a file. One that cannot be read costs no more than a download. */
async function readChecksums(host: Host, path: string): Promise<string[][]> {
  if (!(await pathExists(path))) return [];
  try {
    return [...(await readLocks(path)).values()].map(({ packages, tools }) =>
      [...packages, ...tools].map(({ checksum }) => checksum),
    );
  } catch (error) {
    const text = `${(error as Error).message}. The packages that it names stay only as long as they are used.`;
    host.emit({ type: 'warning', text });
    return [];
  }
}

/** Whether one of the answers that lie beside package lists is what a published image was made of. */
export async function answersALock(paths: readonly string[], { locks }: Needs): Promise<boolean> {
  for (const path of paths) {
    const text = (await readTextIfExists(path)) ?? '';
    const checksums = [...text.matchAll(/"checksum":"([^"]+)"/g)].map(([, checksum]) => checksum!);
    if (locks.has(lockSignature(checksums))) return true;
  }
  return false;
}
