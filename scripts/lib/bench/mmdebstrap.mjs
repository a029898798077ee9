import { join } from 'node:path';
import { removeAll, runAsRoot } from './command.mjs';
import { lacking } from './peers.mjs';

/**
 * mmdebstrap, unpacking the same packages from a local archive (`source`: a sources.list line), and mke2fs making an image of
 * them, `bytes` large; or a .tar.zst instead.
 */
export function mmdebstrap({ directory, source, codename, names, bytes }) {
  const disk = bytes !== undefined;
  const result = join(directory, disk ? 'mmdebstrap' : 'mmdebstrap.tar.zst');
  const image = join(directory, 'mmdebstrap.img');
  const options = ['--quiet', '--variant=extract', `--include=${names.join(',')}`];
  return {
    who: disk ? 'mmdebstrap + mke2fs' : 'mmdebstrap to .tar.zst',
    role: 'peer',
    does: `the same packages unpacked (--variant=extract) ${disk ? 'and put into an ext4 image of the same size (no initramfs, no boot loader' : 'into one .tar.zst (no squashfs'}, no repository); it begins anew each time`,
    unavailable: lacking('mmdebstrap', 'mke2fs'),
    prepare: () => removeAll(result, image),
    run: async () => {
      await runAsRoot('mmdebstrap', [...options, codename, result, source]);
      if (!disk) return;
      const blocks = `${Math.floor(bytes / 1024)}k`;
      await runAsRoot('mke2fs', ['-q', '-t', 'ext4', '-d', result, image, blocks]);
    },
  };
}
