import { join } from 'node:path';
import type { Host } from '../../host/host.ts';
import { copyIntoFile, createSparseFile } from '../../host/files.ts';
import type { PlannedPartition } from './plan.ts';

/** Makes the EFI system partition with `loader` where the firmware looks on a disk without boot entries. */
export async function writeEsp(
  host: Host,
  job: { image: string; partition: PlannedPartition; scratch: string; loader: string; epoch: number },
): Promise<void> {
  const { image, partition, scratch, loader, epoch } = job;
  const file = join(scratch, 'esp');
  const doing = 'make the EFI system partition';
  await createSparseFile(file, partition.size);
  await host.run({
    program: 'mkfs.vfat',
    args: ['--invariant', '-i', partition.uuid.replace('-', ''), '-n', partition.label, file],
    doing,
    hint: 'An ESP of 16 MiB is enough, and much smaller ones are no FAT filesystem.',
  });
  const env = { SOURCE_DATE_EPOCH: String(epoch), MTOOLS_SKIP_CHECK: '1' };
  await host.run({ program: 'mmd', args: ['-i', file, '::EFI', '::EFI/BOOT'], env, doing });
  await host.run({ program: 'mcopy', args: ['-i', file, loader, '::EFI/BOOT/BOOTX64.EFI'], env, doing });
  await copyIntoFile(file, image, partition.start);
}
