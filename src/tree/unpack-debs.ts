import type { Host } from '../host/host.ts';
import { sideBySide } from '../host/side-by-side.ts';
import type { LockedPackage, PackageSet } from '../model.ts';
import { checkoutTogether, importArchive, missingRefs, packageRef } from '../ostree/packages.ts';
import { cacheName } from '../packages/cache-name.ts';
import { readDataArchive } from '../packages/deb/archive.ts';

type PackageFile = PackageSet['files'][number];

const refOf = ({ checksum }: LockedPackage): string => packageRef(cacheName(checksum));

/** Those that are not in the repository yet, each once; with `anew` all of them. */
export async function findPackedDebs(
  host: Host,
  files: readonly PackageFile[],
  { anew }: { anew: boolean },
): Promise<PackageFile[]> {
  const byRef = new Map(files.map((file) => [refOf(file.package), file]));
  const refs = [...byRef.keys()];
  const missing = anew ? refs : await missingRefs(host, 'cache/package', refs);
  return missing.map((ref) => byRef.get(ref)!);
}

/** Unpacks each package into the repository, as a commit of its own. */
export async function unpackDebs(host: Host, files: readonly PackageFile[]): Promise<void> {
  // Large packages first, so that the last worker does not end with the kernel.
  const bySize = files.toSorted((a, b) => b.package.size - a.package.size);
  let done = 0;
  await sideBySide(
    bySize.map((file) => async () => {
      const { package: entry, path } = file;
      await importArchive(host, {
        name: entry.name,
        ref: refOf(entry),
        archive: await readDataArchive(path),
      });
      done += 1;
      host.emit({ type: 'stage-progress', stage: 'unpack', done, total: files.length, unit: 'packages' });
    }),
  );
}

/** Lays the files of all packages together in `directory`, which must not exist, as hard links into the repository. */
export const checkOutDebs = (host: Host, packages: PackageSet, directory: string): Promise<void> =>
  checkoutTogether(
    host,
    packages.files.map((file) => refOf(file.package)),
    directory,
  );
