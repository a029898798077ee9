import { join } from 'node:path';
import { readBytes, remove, sha256, writeFile } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import { makeOnce } from '../host/make-once.ts';
import { sideBySide } from '../host/side-by-side.ts';
import { readDeltaFile } from './delta-file.ts';
import type { StoredObject } from './delta-objects.ts';
import { listObjects, splitParts } from './delta-objects.ts';
import { packPart, readPacker } from './delta-part.ts';
import type { PackedPart } from './delta-superblock.ts';
import { superblock } from './delta-superblock.ts';

/** Compressions at the same time, each with one thread and up to 100 MB. */
const atOnce = 2;

export interface FromNothing {
  /** Absolute: the file to write. */
  path: string;
  /** Delta files that may have parts in common with it. */
  earlier: readonly string[];
  /** A directory of packed parts, absolute; undefined: one of its own, which is removed. */
  parts: string | undefined;
}

/**
 * Writes a static delta from nothing to `path`, for ostree to apply. Of a tree that changed little, most parts are those of a
 * delta before: they are taken from there (`earlier`, files) instead of being compressed again, which gives the same bytes.
 * Images of one base have most parts in common, too: those that are made at the same time share the directory `parts`.
 * Returns false, and writes nothing, where the tree has what only ostree itself packs.
 */
export async function writeDeltaFromNothing(
  host: Host,
  { to, path, earlier, parts: shared }: FromNothing & { to: string },
): Promise<boolean> {
  const objects = await listObjects(host, to);
  if (objects === undefined) return false;
  const packer = await readPacker(host);
  const known = await readParts(earlier, packer);
  const directory = shared ?? `${path}.parts`;
  const pack = async (part: readonly StoredObject[], names: Buffer): Promise<Buffer> => {
    const place = join(directory, `${sha256(names)}.xz`);
    await makeOnce(place, (fresh) => packPart(host, part, fresh));
    return Buffer.concat([Buffer.from('x'), await readBytes(place)]);
  };
  try {
    const parts = await sideBySide(
      splitParts(objects).map((part) => async (): Promise<PackedPart> => {
        const names = namesOf(part);
        const data = known.get(names.toString('hex')) ?? (await pack(part, names));
        return { names, data, bytes: part.reduce((sum, object) => sum + object.bytes, 0) };
      }),
      atOnce,
    );
    await writeFile(path, await superblock(host, { to, parts, packer }));
    return true;
  } finally {
    if (shared === undefined) await remove(directory);
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
