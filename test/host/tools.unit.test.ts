import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { tools } from '../../src/host/tools.ts';

/** On every Debian: packages that are essential, or that one of the tools' packages is or needs (grub-common, lxc, gpg, e2fsprogs, …). */
const alwaysThere =
  `apt-cache bash blkid cat chmod chown cmp cp dd e2fsck fallocate find fsck.ext4 gpgconf grub-editenv grub-syslinux2cfg
install ldd ln losetup ls mdir mkdir mkfifo mount node readlink rm script sed sh sha256sum ssh-keygen stat true umount
unsquashfs chattr lxc-attach lxc-create lxc-info lxc-stop lxc-wait`.split(/\s+/);

it('setup installs every program that a test starts by its name', () => {
  const root = join(import.meta.dirname, '..');
  const known = new Set([...alwaysThere, ...tools.map(({ program }) => program)]);
  const started = readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .flatMap((path) => {
      const text = readFileSync(join(root, path), 'utf8');
      return [
        ...text.matchAll(
          /\b(?:execa|execaSync|execFileSync|spawn|spawnSync|output)\(\s*'(?<program>[a-z][\w.-]*)'/g,
        ),
      ].map(({ groups }) => ({ path, program: groups!['program']! }));
    });
  expect(started.length).toBeGreaterThan(100);
  expect(started.filter(({ program }) => !known.has(program))).toEqual([]);
});
