import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildDeb, indexDebs } from '../helpers/debs.ts';
import { addBusybox } from '../helpers/trees.ts';
import { kernelModule } from '../tree/kernel-module.ts';

/**
 * Files of a kernel package that starts nowhere: the modules that the layers ask for, all of them built in. `image`: the
 * kernel's text; by default one that has a real kernel's size for partitions and downloads.
 */
export const kernelFiles = (
  prefix: string,
  release: string,
  image: string = largeText(8 << 20),
): Record<string, string> => ({
  [`boot/vmlinuz-${prefix}`]: image,
  [`lib/modules/${release}/modules.order`]: '',
  [`lib/modules/${release}/modules.builtin`]: [
    ...['virtio_pci', 'virtio_blk', 'virtio_scsi', 'sd_mod', 'hv_storvsc', 'vmw_pvscsi', 'ext4'],
  ]
    .map((name) => `kernel/drivers/${name}.ko\n`)
    .join(''),
});

/** Hexadecimal digits that nothing can make much shorter, always the same. */
function largeText(length: number): string {
  const digest = (number: number): string => createHash('sha512').update(String(number)).digest('hex');
  return Array.from({ length: length / 128 }, (_, number) => digest(number)).join('');
}

/** Fills a directory with a flat repository of all that the small layers ask for, on base debian. */
export function makeSmallMirror(directory: string, image?: string): void {
  buildDeb(directory, { name: 'busybox-static', prepare: addBusybox });
  buildDeb(directory, {
    name: 'linux-image-cloud-amd64',
    files: kernelFiles('6.1.0', '6.1.0', image),
    prepare: (root) => writeModule(join(root, 'lib/modules/6.1.0')),
  });
  indexDebs(directory);
}

/** A kernel without any module has no directory for them. */
function writeModule(directory: string): void {
  mkdirSync(join(directory, 'kernel/fs'), { recursive: true });
  writeFileSync(join(directory, 'kernel/fs/overlay.ko'), kernelModule({}));
}
