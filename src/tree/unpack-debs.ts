import PQueue from 'p-queue';
import type { Host } from '../host/host.ts';
import type { LockedPackage, PackageSet } from '../model.ts';
import { checkoutTogether, importArchive, missingRefs, packageRef } from '../ostree/packages.ts';
import { readDataArchive } from '../packages/deb/archive.ts';

const refOf = ({ checksum }: LockedPackage): string => packageRef(checksum.replace(/^sha256:/, ''));

/**
 * Lays the files of all packages together in `directory`, which must not exist, as hard links into the repository. Each
 * package is unpacked once and kept there.
 */
export async function unpackDebs(host: Host, packages: PackageSet, directory: string): Promise<void> {
  const refs = packages.files.map((file) => refOf(file.package));
  const missing = new Set(await missingRefs(host, 'cache/package', refs));
  const wanted = packages.files.filter((file) => missing.has(refOf(file.package)));
  // Large packages first, so that the last worker does not end with the kernel.
  const queue = new PQueue({ concurrency: 2 });
  const bySize = wanted.toSorted((a, b) => b.package.size - a.package.size);
  let done = 0;
  await queue.addAll(
    bySize.map((file) => async () => {
      const { package: entry, path } = file;
      await importArchive(host, {
        name: entry.name,
        ref: refOf(entry),
        archive: await readDataArchive(path),
      });
      done += 1;
      host.emit({ type: 'stage-progress', stage: 'tree', done, total: wanted.length, unit: 'packages' });
    }),
  );
  await checkoutTogether(host, refs, directory);
}
