import { readBytes, readEntry } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import type { StoredObject } from './delta-objects.ts';
import { placeOf } from './delta-objects.ts';
import { array, tuple } from './gvariant-write.ts';

/** What decides the bytes of a part besides its objects: this file, and xz. */
export async function readPacker(host: Host): Promise<string> {
  const { stdout } = await host.run({ program: 'xz', args: ['--version'] });
  return `1 ${stdout.trim().replaceAll('\n', ', ')}`;
}

/**
 * A compressed part, `(yay)`, that writes the objects as they are: `(a(uuu)aa(ayay)ayay)` with modes, extended attributes,
 * contents, and an operation "open, splice and close" each, OSTREE_STATIC_DELTA_PART_PAYLOAD_FORMAT_V0 of
 * https://github.com/ostreedev/ostree/blob/v2022.7/src/libostree/ostree-repo-static-delta-private.h. The compressed bytes
 * alone are written to `path`; in a delta, `x` stands before them.
 */
export async function packPart(host: Host, part: readonly StoredObject[], path: string): Promise<void> {
  const modes = new Map<string, number>();
  const [payload, operations]: [Buffer[], number[]] = [[], []];
  let offset = 0;
  for (const object of part) {
    const place = placeOf(host, object.id, object.type);
    const link = object.type === 1 ? (await readEntry(place))?.link : undefined;
    const content = link === undefined ? await readBytes(place) : Buffer.from(link);
    operations.push('S'.codePointAt(0)!);
    if (object.type === 1) {
      const mode = [object.uid, object.gid, object.mode]
        .map((value) => value.toString(16).padStart(8, '0'))
        .join('');
      if (!modes.has(mode)) modes.set(mode, modes.size);
      operations.push(...varint(modes.get(mode)!), 0);
    }
    operations.push(...varint(content.length), ...varint(offset));
    payload.push(content);
    offset += content.length;
  }
  // Of files and links without extended attributes: one empty set, the first.
  const noXattrs = array([Buffer.alloc(0)], 1);
  const unpacked = tuple([
    { bytes: Buffer.from([...modes.keys()].join(''), 'hex'), alignment: 4 },
    { bytes: modes.size === 0 ? Buffer.alloc(0) : noXattrs, alignment: 1 },
    { bytes: Buffer.concat(payload), alignment: 1 },
    { bytes: Buffer.from(operations), alignment: 1 },
  ]);
  const dictionary = Math.max(4096, Math.min(unpacked.length, 4 << 20));
  // A larger dictionary saves 0.4 %, and has to fit into the memory of the machines.
  await host.run({
    program: 'xz',
    args: ['--threads=1', '--check=crc64', `--lzma2=preset=8,dict=${dictionary}`, '--stdout'],
    input: unpacked,
    outputFile: path,
    doing: 'compress a delta',
  });
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest % 128) + 128);
  }
}
