import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { locate } from '../../src/reproduce/locate.ts';
import { lacks } from '../helpers/needs.ts';
import { temporaryHost } from '../helpers/host.ts';

const reason = lacks({ programs: ['mke2fs', 'debugfs'] });
const mebibyte = 1 << 20;

describe.skipIf(reason !== undefined)(
  `where in a disk image a byte is${reason === undefined ? '' : ` (skipped: ${reason})`}`,
  () => {
    function makeImage() {
      const host = temporaryHost();
      const { root } = host.workspace;
      const [tree, image] = [join(root, 'tree'), join(root, 'disk.img')];
      mkdirSync(join(tree, 'etc'), { recursive: true });
      writeFileSync(join(tree, 'etc/big'), `${'x'.repeat(10_000)}the needle`);
      const partitions = [
        { name: 'esp', role: 'esp', start: mebibyte, size: mebibyte, filesystem: 'vfat', uuid: '' },
        {
          name: 'rootfs',
          role: 'rootfs',
          start: 2 * mebibyte,
          size: 4 * mebibyte,
          filesystem: 'ext4',
          uuid: '',
        },
      ];
      writeFileSync(join(root, 'manifest.json'), JSON.stringify({ partitions }));
      writeFileSync(image, Buffer.alloc(6 * mebibyte));
      const options = ['-q', '-F', '-t', 'ext4', '-b', '4096', '-d', tree, '-E', `offset=${2 * mebibyte}`];
      execFileSync('mke2fs', [...options, image, '4M'], { stdio: 'pipe' });
      return { host, image };
    }

    it('is said by the name of the file that has it', async () => {
      const { host, image } = makeImage();
      const offset = readFileSync(image).indexOf('the needle');
      expect(offset).toBeGreaterThan(2 * mebibyte);
      expect(await locate(host, image, offset)).toBe(
        `partition rootfs at ${offset - 2 * mebibyte}, in the file /etc/big`,
      );
    });

    it('is said of what is in no file, or in another file system', async () => {
      const { host, image } = makeImage();
      expect(await locate(host, image, 2 * mebibyte + 1024)).toBe(
        'partition rootfs at 1024, in the file system’s own records',
      );
      expect(await locate(host, image, mebibyte + 5)).toBe('partition esp at 5');
      expect(await locate(host, image, 100)).toContain('outside of every partition');
    });

    it('is not said of other files', async () => {
      const { host, image } = makeImage();
      expect(await locate(host, image.replace('.img', '.tar.zst'), 1)).toBeUndefined();
    });
  },
);
