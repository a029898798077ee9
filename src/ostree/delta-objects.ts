import { join } from 'node:path';
import { readEntry } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import { ostree } from './repository.ts';

/** An object of the workspace's repository that a delta from nothing holds. */
export interface StoredObject {
  id: string;
  /** OSTREE_OBJECT_TYPE_FILE, _DIR_TREE, _DIR_META. */
  type: 1 | 2 | 3;
  /** As in st_mode of stat(2), with uid and gid; of files and symbolic links alone. */
  mode: number;
  uid: number;
  gid: number;
  /** Of its content; 0 for a symbolic link. */
  bytes: number;
}

const suffixes = { 1: 'file', 2: 'dirtree', 3: 'dirmeta' } as const;

/** Where a bare repository keeps an object, absolute. */
export const placeOf = (host: Host, id: string, type: StoredObject['type']): string =>
  join(host.workspace.repository, 'objects', id.slice(0, 2), `${id.slice(2)}.${suffixes[type]}`);

// `ls -R -C -X`: kind and mode, owner, bytes, checksums, extended attributes, path.
const line =
  /^(?<kind>[dl-])(?<mode>\d+) (?<uid>\d+) (?<gid>\d+) +(?<bytes>\d+) (?<id>[0-9a-f]{64})(?: (?<meta>[0-9a-f]{64}))? \{ (?<xattrs>.*?) \} \//;

/**
 * All objects of a commit but the commit itself, each once: directories, then files and links, in the order of their paths.
 * undefined where something is there that only ostree itself packs: extended attributes, or links whose text is not UTF-8.
 */
export async function listObjects(host: Host, commit: string): Promise<StoredObject[] | undefined> {
  const found = new Map<string, StoredObject>();
  const listed = await ostree(host, ['ls', '-R', '-C', '-X', commit, '/']);
  for (const entry of listed.split('\n')) {
    const fields = line.exec(entry)?.groups;
    if (fields === undefined || fields['xattrs'] !== '@a(ayay) []') return undefined;
    const { kind, mode, uid, gid, bytes, id, meta } = fields as Record<string, string>;
    const owner = { uid: Number(uid), gid: Number(gid) };
    const add = (object: Pick<StoredObject, 'id' | 'type' | 'mode' | 'bytes'>): void => {
      if (!found.has(object.id)) found.set(object.id, { ...owner, ...object });
    };
    if (kind === 'd') {
      add({ id: id!, type: 2, mode: 0, bytes: await objectBytes(host, id!, 2) });
      add({ id: meta!, type: 3, mode: 0, bytes: await objectBytes(host, meta!, 3) });
    } else {
      if (kind === 'l' && (await readEntry(placeOf(host, id!, 1)))?.link?.includes('\uFFFD'))
        return undefined;
      const type = kind === 'l' ? 0o120_000 : 0o100_000;
      add({ id: id!, type: 1, mode: type | Number.parseInt(mode!, 8), bytes: Number(bytes) });
    }
  }
  return [...found.values()].toSorted((a, b) => Number(a.type === 1) - Number(b.type === 1));
}

const objectBytes = async (host: Host, id: string, type: StoredObject['type']): Promise<number> =>
  (await readEntry(placeOf(host, id, type)))!.size;

// Bytes: where a part is full, as ostree counts, and from where on it may end.
const wholePart = 2_000_000;
const leastPart = 500_000;

/**
 * Parts that end where the names of the objects say so, every other MB or so, or where they are full: what changes in a tree
 * changes the parts that it is in, and no more.
 */
export function splitParts(objects: readonly StoredObject[]): StoredObject[][] {
  const parts: StoredObject[][] = [];
  let [part, bytes]: [StoredObject[], number] = [[], 0];
  const close = (): void => {
    if (part.length > 0) parts.push(part);
    [part, bytes] = [[], 0];
  };
  for (const object of objects) {
    if (bytes + object.bytes > wholePart || (part[0]?.type !== 1 && object.type === 1)) close();
    part.push(object);
    bytes += object.bytes;
    if (bytes >= leastPart && object.id < '4') close();
  }
  close();
  return parts;
}
