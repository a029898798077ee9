import { dirname, join } from 'node:path';
import { readTextIfExists } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import { isInstalled } from '../host/tools.ts';
import type { Manifest, PartitionRecord } from '../model.ts';

/** ext4 as we make it. */
const blockBytes = 4096;

/**
 * Where in a disk image an offset lies, in words: the partition, and the file of an ext4 file system that has the block.
 * Undefined for files that are no disk image with a manifest beside it.
 */
export async function locate(host: Host, path: string, offset: number): Promise<string | undefined> {
  if (!path.endsWith('.img')) return undefined;
  const text = await readTextIfExists(join(dirname(path), 'manifest.json'));
  if (text === undefined) return undefined;
  const { partitions } = JSON.parse(text) as Pick<Manifest, 'partitions'>;
  const partition = findPartition(partitions, offset);
  if (partition === undefined) return 'outside of every partition: the partition table, or boot code';
  const within = offset - partition.start;
  const place = `partition ${partition.name} at ${within}`;
  if (partition.filesystem !== 'ext4' || !isInstalled('debugfs')) return place;
  return `${place}, ${await fileAt(host, { image: path, partition, block: Math.floor(within / blockBytes) })}`;
}

/** Pure: the partition that an offset of the disk lies in. */
export const findPartition = (
  partitions: readonly PartitionRecord[],
  offset: number,
): PartitionRecord | undefined =>
  partitions.find(({ start, size }) => offset >= start && offset < start + size);

async function fileAt(
  host: Host,
  { image, partition, block }: { image: string; partition: PartitionRecord; block: number },
): Promise<string> {
  const ask = async (request: string): Promise<string | undefined> => {
    const args = ['-R', request, `${image}?offset=${partition.start}`];
    const { stdout } = await host.run({ program: 'debugfs', args, accept: [0, 1] });
    // A heading, then the number that was asked for and what it belongs to.
    return stdout.split('\n')[1]?.split('\t')[1];
  };
  const inode = await ask(`icheck ${block}`);
  if (inode === undefined || !/^\d+$/.test(inode)) return 'in the file system’s own records';
  const file = await ask(`ncheck ${inode}`);
  return file === undefined ? `in inode ${inode}` : `in the file ${file}`;
}
