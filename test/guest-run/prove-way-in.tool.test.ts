import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Manifest } from '../../src/model.ts';
import { letIn } from '../../src/prove/way-in.ts';
import { errorOf, temporaryDirectory, temporaryHost } from '../helpers/host.ts';
import { manifestOf } from '../helpers/manifest.ts';
import { lacks } from '../helpers/needs.ts';

const missing = lacks({ programs: ['debugfs', 'mke2fs', 'e2fsck'] });
const rootfs = join(import.meta.dirname, '../../overlays/prove/rootfs');
const commit = 'c'.repeat(64);
const offset = 1 << 20;
const size = 8 << 20;

const manifest = (partitions: Manifest['partitions']): Manifest => manifestOf({ commit, partitions });
const partition = {
  name: 'rootfs',
  role: 'rootfs',
  start: offset,
  size,
  filesystem: 'ext4',
  uuid: '',
} as const;

/** A disk with an ext4 of 8 MiB behind its first MiB, which has a deployment with these directories. */
function makeDisk(directory: string, directories: readonly string[]): string {
  const disk = join(directory, 'disk with space.img');
  const tree = join(directory, 'tree');
  for (const path of directories) mkdirSync(join(tree, deployment, path), { recursive: true });
  writeFileSync(join(tree, 'other'), 'stays');
  writeFileSync(disk, '');
  truncateSync(disk, offset + size);
  execFileSync('mke2fs', [
    ...['-q', '-F', '-t', 'ext4', '-E', `offset=${offset}`, '-d', tree, disk, `${size / 1024}k`],
  ]);
  return disk;
}
const deployment = `ostree/deploy/treeline/deploy/${commit}.0`;

const debugfs = (disk: string, command: string): string =>
  execFileSync('debugfs', ['-R', command, `${disk}?offset=${offset}`], { encoding: 'utf8', stdio: 'pipe' });

describe.skipIf(missing !== undefined)(
  `the way into the copy of an image${missing === undefined ? '' : ` (skipped: ${missing})`}`,
  () => {
    it('is files of root’s in the deployment’s /etc, and a sound file system', async () => {
      const directory = temporaryDirectory();
      const disk = makeDisk(directory, ['etc/init.d', 'etc/runlevels/boot']);
      await letIn(temporaryHost(), { disk, release: { directory, manifest: manifest([partition]) }, rootfs });
      for (const name of ['etc/treeline-prove', 'etc/init.d/treeline-prove']) {
        expect(debugfs(disk, `cat /${deployment}/${name}`)).toBe(readFileSync(join(rootfs, name), 'utf8'));
        expect(debugfs(disk, `stat /${deployment}/${name}`)).toMatch(
          /Type: regular +Mode: +0755[^]*User: +0 +Group: +0 /,
        );
      }
      expect(debugfs(disk, `stat /${deployment}/etc/runlevels/boot/treeline-prove`)).toMatch(
        /Type: symlink[^]*Fast link dest: "\/etc\/init.d\/treeline-prove"/,
      );
      expect(debugfs(disk, 'cat /other')).toBe('stays');
      const partitionAlone = join(directory, 'partition.img');
      execFileSync('dd', [`if=${disk}`, `of=${partitionAlone}`, 'bs=1M', 'skip=1', 'status=none']);
      execFileSync('e2fsck', ['-f', '-n', partitionAlone], { stdio: 'pipe' });
    });

    it('is refused where the deployment is another one', async () => {
      const directory = temporaryDirectory();
      const disk = makeDisk(directory, ['etc']);
      const release = { directory, manifest: manifest([partition]) };
      const error = await errorOf(letIn(temporaryHost(), { disk, release, rootfs }));
      expect(error.message).toContain('File not found');
    });

    it('is refused where the manifest names no partition for it', async () => {
      const directory = temporaryDirectory();
      const disk = makeDisk(directory, ['etc']);
      const before = statSync(disk).mtimeMs;
      const release = { directory, manifest: manifest([{ ...partition, role: 'other' }]) };
      const error = await errorOf(letIn(temporaryHost(), { disk, release, rootfs }));
      expect(error.message).toContain('names no rootfs partition');
      expect(statSync(disk).mtimeMs).toBe(before);
    });
  },
);
