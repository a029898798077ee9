import { join } from 'node:path';
import type { Host } from '../../host/host.ts';
import { createSparseFile, readBytesAt, writeBytesAt } from '../../host/files.ts';
import type { PlannedPartition } from './plan.ts';

const pageBytes = 4096;

/** Formats a swap partition of the image; `scratch` is a directory for unfinished work. */
export async function writeSwap(
  host: Host,
  { image, partition, scratch }: { image: string; partition: PlannedPartition; scratch: string },
): Promise<void> {
  const file = join(scratch, 'swap');
  await createSparseFile(file, partition.size);
  await host.run({
    program: 'mkswap',
    args: [
      '--quiet',
      '--pagesize',
      String(pageBytes),
      '--uuid',
      partition.uuid,
      '--label',
      partition.label,
      file,
    ],
    doing: 'make the swap partition',
  });
  // mkswap writes nothing but the first page.
  await writeBytesAt(image, partition.start, await readBytesAt(file, 0, pageBytes));
}
