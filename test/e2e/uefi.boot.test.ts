import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import type { Manifest } from '../../src/model.ts';
import type { Vm } from '../helpers/qemu.ts';
import { startVm } from '../helpers/qemu.ts';
import { artifact, measured, readyMarker, seconds } from './figures.ts';
import { givenImages } from './given.ts';
import { inGuest } from './overlay.ts';
import { runScriptText } from './program.ts';

const { images, versions, skipped, note } = await givenImages(['qemu-system-x86_64', 'ssh', 'sfdisk']);
const home = join(import.meta.dirname, '../..');

describe.skipIf(skipped)(`the same system${note}`, () => {
  let vm: Vm | undefined;
  let output: string | undefined;

  afterEach(() => vm?.kill());
  afterAll(() => (output === undefined ? undefined : rm(output, { recursive: true })));

  it('boots by UEFI what else boots by BIOS, sees a second disk, and powers off', async () => {
    const { manifest } = versions.second.vm;
    const start = performance.now();
    vm = await startVm({
      image: artifact(versions.second.vm, '.img'),
      uefi: true,
      memory: 256,
      disks: [{ bytes: 1 << 30 }],
      key: images.key,
    });
    await vm.waitFor(readyMarker, 300_000);
    measured('UEFI, 256 MiB: from power on to the default runlevel', seconds(performance.now() - start));
    expect(await vm.sshText('ls /sys/firmware/efi')).not.toBe('');
    expect(await vm.sshText('ostree admin status')).toContain(`* treeline ${manifest.commit}.0`);
    expect(await vm.sshText(`cat ${inGuest.changed} ${inGuest.added}`)).toBe(
      'version two\nonly in version two',
    );
    expect(await vm.sshText('cat /sys/block/vdb/size')).toBe(String((1 << 30) / 512));
    await vm.ssh('poweroff');
    expect(await vm.waitExit(120_000)).toBe(0);
  });

  // image/disk/disk.boot starts such a disk; file systems and their UUIDs are those of the standard one.
  it('is laid onto the three DOS partitions of layouts/pine.cfg', async () => {
    output = await mkdtemp(join(tmpdir(), 'treeline-pine-'));
    await runScriptText('build-vm', [
      ...['--workspace', images.workspace, '--output', output, '--overlay', images.overlay],
      ...['--ssh-key', images.key.publicKey, '--layout', join(home, 'layouts/pine.cfg')],
    ]);
    const directory = join(output, 'debian-12/x86_64/vm/latest');
    const manifest = JSON.parse((await execa('cat', [join(directory, 'manifest.json')])).stdout) as Manifest;
    const image = artifact({ directory, manifest }, '.img');
    const table = JSON.parse((await execa('sfdisk', ['--json', image])).stdout) as {
      partitiontable: { label: string; partitions: { type: string }[] };
    };
    expect(table.partitiontable.label).toBe('dos');
    expect(table.partitiontable.partitions.map(({ type }) => type)).toEqual(['83', '83', '83']);
    expect(manifest.partitions.map(({ role }) => role)).toEqual(['boot', 'swap', 'rootfs']);
    const ids = (of: Manifest): string[] =>
      of.partitions.map(({ role, uuid }) => `${role} ${uuid}`).toSorted();
    expect(ids(manifest)).toEqual(
      ids(versions.second.vm.manifest).filter((line) => /^(boot|swap|rootfs) /.test(line)),
    );
  });
});
