import { mkdtemp, readFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseLayout } from '../../../src/image/disk/layout.ts';
import { planDisk } from '../../../src/image/disk/plan.ts';
import { writeDisk } from '../../../src/image/disk/write.ts';
import { lacks } from '../../helpers/needs.ts';
import { startVm } from '../../helpers/qemu.ts';
import { fetchGuestParts } from './kernel.ts';
import type { Place } from './sysroots.ts';
import { makePlace, makeSysroot } from './sysroots.ts';

const missing = lacks({ programs: ['qemu-system-x86_64', 'ostree', 'mke2fs', 'cpio'], root: true });
const parts = missing ?? (await fetchGuestParts());

async function makeInitramfs(directory: string, busybox: string): Promise<Buffer> {
  const root = await mkdtemp(join(directory, 'initramfs-'));
  await execa('mkdir', [join(root, 'bin')]);
  await execa('cp', [busybox, join(root, 'bin/busybox')]);
  await execa('install', ['-m', '0755', join(import.meta.dirname, 'guest-init.sh'), join(root, 'init')]);
  const { stdout } = await execa('sh', ['-c', 'find . | sort | cpio -o -H newc --quiet'], {
    cwd: root,
    encoding: 'buffer',
  });
  return Buffer.from(stdout);
}

describe.skipIf(typeof parts === 'string')(
  `a disk with a real kernel${typeof parts === 'string' ? ` (skipped: ${parts})` : ''}`,
  () => {
    let place: Place;
    let sysroot: string;
    const plans = Object.fromEntries(
      ['vm', 'pine'].map((name) => [
        name,
        planDisk(parseLayout(readFileSync(`layouts/${name}.cfg`, 'utf8'), name), 'boot test'),
      ]),
    );

    beforeAll(async () => {
      if (typeof parts === 'string') return;
      place = await makePlace();
      sysroot = await makeSysroot({
        directory: place.directory,
        kernel: await readFile(parts.vmlinuz),
        initramfs: await makeInitramfs(place.directory, parts.busybox),
        // The ids follow from seed and role, not from the layout.
        kernelArguments: [`root=UUID=${plans['vm']!.rootUuid}`, 'rootwait', 'console=ttyS0', 'quiet'],
      });
      for (const [name, plan] of Object.entries(plans)) {
        await writeDisk(place.host, {
          plan,
          sysroot,
          output: join(place.directory, name),
          epoch: 1_762_000_000,
        });
      }
    });

    afterAll(() => place.remove());

    test.each([
      { layout: 'vm', uefi: false },
      { layout: 'vm', uefi: true },
      { layout: 'pine', uefi: false },
    ])('layout $layout boots (UEFI: $uefi), and its kernel uses all partitions', async ({ layout, uefi }) => {
      // On NVMe, whose driver and ext4's are built into the kernel: the initramfs has no modules.
      const drive = `id=disk,if=none,format=raw,snapshot=on,file=${join(place.directory, layout)}`;
      const vm = await startVm({
        uefi,
        memory: 512,
        extraArgs: ['-drive', drive, '-device', 'nvme,serial=test,drive=disk,bootindex=1'],
      });
      try {
        await vm.waitFor('FOUND end', 120_000);
        expect(await vm.waitExit()).toBe(0);
        const found = [...vm.output.matchAll(/FOUND (.*?)\r?\n/g)].map(([, words]) => words);
        expect(found).toEqual([
          'root label treeline-root',
          'root mounts',
          'deployment of test',
          'boot mounts',
          'entries 1',
          'swap of 40956 KiB',
          uefi ? 'UEFI' : 'BIOS',
          'end',
        ]);
      } finally {
        await vm.kill();
      }
    });
  },
);
