import { join } from 'node:path';
import { makeDirectory, readBytes, remove, sha256, writeFile } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import { sideBySide } from '../host/side-by-side.ts';
import { readDeltaFile } from './delta-file.ts';
import type { StoredObject } from './delta-objects.ts';
import { listObjects, splitParts } from './delta-objects.ts';
import { packPart, readPacker } from './delta-part.ts';
import type { PackedPart } from './delta-superblock.ts';
import { superblock } from './delta-superblock.ts';

/** Compressions at the same time, each with one thread and up to 100 MB. */
const atOnce = 2;

/**
 * Writes a static delta from nothing to `path`, for ostree to apply. Of a tree that changed little, most parts are those of a
 * delta before: they are taken from there (`earlier`, files) instead of being compressed again, which gives the same bytes.
 * Returns false, and writes nothing, where the tree has what only ostree itself packs.
 */
export async function writeDeltaFromNothing(
  host: Host,
  { to, path, earlier }: { to: string; path: string; earlier: readonly string[] },
): Promise<boolean> {
  const objects = await listObjects(host, to);
  if (objects === undefined) return false;
  const packer = await readPacker(host);
  const known = await readParts(earlier, packer);
  const scratch = `${path}.parts`;
  await makeDirectory(scratch);
  try {
    const parts = await sideBySide(
      splitParts(objects).map((part, index) => async (): Promise<PackedPart> => {
        const names = namesOf(part);
        const data =
          known.get(names.toString('hex')) ?? (await packPart(host, part, join(scratch, `${index}.xz`)));
        return { names, data, bytes: part.reduce((sum, object) => sum + object.bytes, 0) };
      }),
      atOnce,
    );
    await writeFile(path, await superblock(host, { to, parts, packer }));
    return true;
  } finally {
    await remove(scratch);
  }
}

/** The whole parts of earlier deltas that were packed as ours are, by their objects. */
async function readParts(files: readonly string[], packer: string): Promise<Map<string, Buffer>> {
  const known = new Map<string, Buffer>();
  for (const file of files) {
    try {
      const delta = readDeltaFile(await readBytes(file));
      if (delta.packer !== packer) continue;
      for (const { objects, data, sha256: digest } of delta.parts)
        if (sha256(data) === digest) known.set(objects, data);
    } catch (error) {
      // A damaged file is of no use here, and no harm.
      if (!(error instanceof RangeError)) throw error;
    }
  }
  return known;
}

/** A byte for the type, and the id. */
const namesOf = (objects: readonly StoredObject[]): Buffer =>
  Buffer.concat(objects.map(({ type, id }) => Buffer.from([type, ...Buffer.from(id, 'hex')])));
