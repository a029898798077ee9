import { join } from 'node:path';
import { changeMode, makeDirectory, makeLink, pathExists, writeFile } from '../../host/files.ts';
import { emptyGrubEnvironment, grubConfig, syslinuxHeader } from './grub-config.ts';

/**
 * Makes `<sysroot>/boot` ready for `ostree admin deploy` with `sysroot.bootloader=syslinux`, which extends a
 * syslinux.cfg that is there and fails without one; and for GRUB. To be called after `ostree admin init-fs` and before
 * the first deployment.
 */
export async function prepareBootDirectory(sysroot: string): Promise<void> {
  const boot = join(sysroot, 'boot');
  for (const directory of ['', 'loader.0', 'syslinux', 'grub']) {
    await makeDirectory(join(boot, directory));
    await changeMode(join(boot, directory), 0o755);
  }
  await writeFile(join(boot, 'loader.0/syslinux.cfg'), syslinuxHeader);
  await writeFile(join(boot, 'grub/grub.cfg'), grubConfig);
  await writeFile(join(boot, 'grub/grubenv'), emptyGrubEnvironment);
  await linkUnlessThere('loader.0', join(boot, 'loader'));
  await linkUnlessThere('../loader/syslinux.cfg', join(boot, 'syslinux/syslinux.cfg'));
  // OSTree writes paths as the running system sees them, /boot/ostree/…; on the boot partition itself they begin here.
  await linkUnlessThere('.', join(boot, 'boot'));
}

async function linkUnlessThere(target: string, path: string): Promise<void> {
  if (!(await pathExists(path))) await makeLink(target, path);
}
