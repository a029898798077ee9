import { join } from 'node:path';
import { pathExists, readBytes, sha256 } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import { packerKey } from './delta-file.ts';
import { array, text, tuple, variant } from './gvariant-write.ts';

/** A part of a delta: its objects' types and ids, `(yay)` with the compressed content, and bytes of the objects. */
export interface PackedPart {
  names: Buffer;
  data: Buffer;
  bytes: number;
}

/**
 * A delta from nothing with its parts inside and no time, as readDeltaFile reads it. `packer` tells what the parts were
 * packed with.
 */
export async function superblock(
  host: Host,
  { to, parts, packer }: { to: string; parts: readonly PackedPart[]; packer: string },
): Promise<Buffer> {
  // As _ostree_get_relative_static_delta_path of ostree names it.
  const name = Buffer.from(to, 'hex').toString('base64').replace('=', '').replaceAll('/', '_');
  const directory = `deltas/${name.slice(0, 2)}/${name.slice(2)}`;
  const entry = (key: string, type: string, bytes: Buffer): Buffer =>
    tuple([
      { bytes: text(key), alignment: 1 },
      { bytes: variant(type, bytes), alignment: 8 },
    ]);
  const objects = join(host.workspace.repository, 'objects', to.slice(0, 2), to.slice(2));
  const signatures = `${objects}.commitmeta`;
  const metadata = array([
    entry(packerKey, 's', text(packer)),
    entry('ostree.endianness', 'y', Buffer.from('l')),
    ...parts.map(({ data }, index) => entry(`${directory}/${index}`, '(yay)', data)),
    ...((await pathExists(signatures))
      ? [entry(`${directory}/commitmeta`, 'a{sv}', await readBytes(signatures))]
      : []),
  ]);
  const number = (value: number, bytes: 4 | 8): Buffer => {
    const buffer = Buffer.alloc(bytes);
    buffer.writeUIntLE(value, 0, bytes === 8 ? 6 : 4);
    return buffer;
  };
  const headers = parts.map(({ names, data, bytes }) =>
    tuple([
      { bytes: number(0, 4), alignment: 4, fixed: true },
      { bytes: Buffer.from(sha256(data), 'hex'), alignment: 1 },
      { bytes: number(data.length, 8), alignment: 8, fixed: true },
      { bytes: number(bytes, 8), alignment: 8, fixed: true },
      { bytes: names, alignment: 1 },
    ]),
  );
  return tuple([
    { bytes: metadata, alignment: 8 },
    { bytes: number(0, 8), alignment: 8, fixed: true },
    { bytes: Buffer.alloc(0), alignment: 1 },
    { bytes: Buffer.from(to, 'hex'), alignment: 1 },
    { bytes: await readBytes(`${objects}.commit`), alignment: 8 },
    { bytes: Buffer.alloc(0), alignment: 1 },
    { bytes: array(headers), alignment: 8 },
    { bytes: Buffer.alloc(0), alignment: 8 },
  ]);
}
