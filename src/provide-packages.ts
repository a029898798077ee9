import type { Host } from './host/host.ts';
import type { PlannedImage } from './image-build.ts';
import { fetchImage, mergeImage, recallMerged } from './image-build.ts';
import { inputsDigest } from './inputs.ts';
import type { PackageSet } from './model.ts';
import type { MergedPackages } from './tree/packages.ts';
import { mergeInputs } from './tree/packages.ts';
import { findPackedDebs, unpackDebs } from './tree/unpack-debs.ts';

/**
 * Fetches and unpacks what trees that are to be built need; what several have in common is done once. Returns, for each
 * image, how its merged packages are had.
 */
export async function providePackages(
  host: Host,
  images: readonly PlannedImage[],
): Promise<(image: PlannedImage) => Promise<MergedPackages>> {
  const merged = new Map<PlannedImage, MergedPackages>();
  const fetched = new Map<PlannedImage, PackageSet>();
  for (const image of images.filter(({ known }) => known === undefined)) {
    const kept = await recallMerged(image);
    if (kept === undefined) fetched.set(image, await fetchImage(image));
    else merged.set(image, kept);
  }
  await unpackAll(host, fetched);
  const running = new Map<string, Promise<MergedPackages>>();
  return async (image) => {
    const packages = fetched.get(image);
    if (packages === undefined) return merged.get(image)!;
    const key = inputsDigest(mergeInputs(image.recipe, image.lock));
    const started = running.get(key) ?? mergeImage(image, packages);
    running.set(key, started);
    return started;
  };
}

/** Packages that a package manager installs in a way of its own are not unpacked one by one. */
async function unpackAll(host: Host, sets: ReadonlyMap<PlannedImage, PackageSet>): Promise<void> {
  const plain = [...sets].filter(([, { install }]) => install === undefined);
  const files = plain.flatMap(([, packages]) => packages.files);
  if (files.length === 0) return;
  const anew = plain.some(([{ options }]) => options.force);
  const packed = await findPackedDebs(host, files, { anew });
  if (packed.length === 0) return;
  await host.stage(
    'unpack',
    () => unpackDebs(host, packed),
    () => ({ detail: packed.length === 1 ? '1 package' : `${packed.length} packages` }),
  );
}
