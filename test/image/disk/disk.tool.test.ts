import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TreelineError } from '../../../src/host/errors.ts';
import { createSparseFile, fileSha256 } from '../../../src/host/files.ts';
import { writeExt4 } from '../../../src/image/disk/ext4.ts';
import type { Layout } from '../../../src/image/disk/layout.ts';
import { verifyLayout } from '../../../src/image/disk/layout-script.ts';
import { parseLayout } from '../../../src/image/disk/layout.ts';
import type { DiskPlan, PlannedPartition } from '../../../src/image/disk/plan.ts';
import { planDisk } from '../../../src/image/disk/plan.ts';
import { usableBytes } from '../../../src/image/disk/space.ts';
import { writeDisk } from '../../../src/image/disk/write.ts';
import type { Place } from './sysroots.ts';
import { deploy, makePlace, makeSysroot } from './sysroots.ts';

const epoch = 1_762_000_000;
const setuidProgram = 'usr/bin/su';
/** Has an extended attribute (security.capability). */
const capableFile = 'ostree/deploy/treeline/var/lib/capable';
const capability = 'cap_net_raw+ep';
let place: Place;
let sysroot: string;

const layoutNamed = (name: string): Layout => parseLayout(readFileSync(`layouts/${name}.cfg`, 'utf8'), name);
const partition = (plan: DiskPlan, role: string): PlannedPartition =>
  plan.partitions.find((candidate) => candidate.role === role)!;
const output = async (program: string, ...args: string[]): Promise<string> =>
  (await execa(program, args, { env: { TZ: 'UTC' } })).stdout;

beforeAll(async () => {
  place = await makePlace();
  sysroot = await makeSysroot({
    directory: place.directory,
    kernel: randomBytes(300_000),
    initramfs: 'initramfs',
    kernelArguments: ['rootwait'],
    files: [
      { path: setuidProgram, content: 'program', mode: 0o4755 },
      { path: 'usr/share/owned', content: 'of user 1234', uid: 1234, mode: 0o640 },
      ...Array.from({ length: 300 }, (_, index) => ({
        path: `usr/share/many/file-${index}`,
        content: `${index}`,
      })),
    ],
  });
  const state = join(sysroot, 'ostree/deploy/treeline/var/lib');
  await mkdir(state, { recursive: true });
  await writeFile(join(sysroot, capableFile), 'x');
  await execa('setcap', [capability, join(sysroot, capableFile)]);
}, 120_000);

afterAll(() => place.remove());

describe.each(['vm', 'pine'])('an image after layouts/%s.cfg', (name) => {
  let image: string;
  let plan: DiskPlan;
  let records: Awaited<ReturnType<typeof writeDisk>>;
  /** How e2fsprogs' programs name a filesystem inside the image. */
  const filesystem = (role: string): string => `${image}?offset=${partition(plan, role).start}`;
  const debugfs = (role: string, request: string): Promise<string> =>
    output('debugfs', '-R', request, filesystem(role));

  beforeAll(async () => {
    image = join(place.directory, `${name}.img`);
    plan = planDisk(layoutNamed(name), 'seed');
    records = await writeDisk(place.host, { plan, sysroot, output: image, epoch });
  });

  test('has a partition table without faults, which is the layout', async () => {
    expect(await output('sfdisk', '--verify', image)).toContain('No errors detected');
    if (name === 'vm') expect(await output('sgdisk', '--verify', image)).toContain('No problems found');
    const dump = JSON.parse(await output('sfdisk', '--json', image)).partitiontable;
    expect(dump.id.toLowerCase()).toBe(plan.labelId);
    expect(
      dump.partitions.map(({ start, size }: { start: number; size: number }) => [start * 512, size * 512]),
    ).toEqual(plan.partitions.map(({ start, size }) => [start, size]));
  });

  test('has the filesystems, labels and UUIDs that its records tell', async () => {
    expect(records.map(({ role }) => role)).toEqual(plan.partitions.map(({ role }) => role));
    for (const { role, start, size, filesystem: type, uuid } of records) {
      if (type === 'none') continue;
      const found = await output(
        'blkid',
        '--probe',
        '--offset',
        String(start),
        '--size',
        String(size),
        '-o',
        'export',
        image,
      );
      expect(found).toContain(`TYPE=${type}`);
      expect(found).toContain(`UUID=${uuid}`);
      expect(found).toContain(`LABEL=${partition(plan, role).label}`);
    }
  });

  test.each(['boot', 'rootfs'])('has a %s filesystem that fsck likes', async (role) => {
    const { stdout, exitCode } = await execa('fsck.ext4', ['-fn', filesystem(role)], { reject: false });
    expect(stdout).toContain(partition(plan, role).label);
    expect(exitCode).toBe(0);
  });

  test("keeps /boot's content on the boot partition, and an empty /boot on the rootfs", async () => {
    expect((await debugfs('boot', 'ls -p /')).split('\n').map((line) => line.split('/')[5])).toEqual(
      expect.arrayContaining(['grub', 'loader', 'loader.1', 'ostree', 'syslinux', 'boot']),
    );
    expect(
      (await debugfs('rootfs', 'ls -p /boot'))
        .trim()
        .split('\n')
        .map((line) => line.split('/')[5]),
    ).toEqual(['.', '..']);
    expect(await debugfs('rootfs', 'stat /boot')).toMatch(/Mode: {2}0755/);
    expect(await debugfs('boot', 'cat /grub/grub.cfg')).toContain('syslinux_source');
  });

  test('keeps hard links, owners, the setuid bit and attributes, and guards the deployment root', async () => {
    const deployments = '/ostree/deploy/treeline/deploy';
    const id = (await readdir(join(sysroot, deployments))).find((entry) => entry.endsWith('.0'))!;
    const root = `${deployments}/${id}`;
    const program = await debugfs('rootfs', `stat ${root}/${setuidProgram}`);
    expect(program).toMatch(/Mode: {2}04755/);
    expect(program).toMatch(/Links: 2/);
    expect(await debugfs('rootfs', `stat ${root}/usr/share/owned`)).toMatch(
      /Mode: {2}0640[^]*User: {2}1234 {3}Group: {2}1234/,
    );
    expect(await debugfs('rootfs', `stat ${root}`)).toContain('Flags: 0x80010');
    expect(await debugfs('rootfs', `stat ${root}/usr`)).toContain('Flags: 0x80000');
    expect(await debugfs('rootfs', `ea_list /${capableFile}`)).toContain('security.capability');
  });

  test('has the one time that it was given, and 0 where OSTree wants it', async () => {
    const stamp = `0x${epoch.toString(16)}:00000000`;
    for (const path of ['/', '/lost+found', '/boot', '/ostree/repo/config', '/ostree/deploy/treeline/var']) {
      const text = await debugfs('rootfs', `stat ${path}`);
      for (const kind of ['atime', 'ctime', 'mtime', 'crtime']) expect(text).toContain(`${kind}: ${stamp}`);
    }
    const kernels = await output('find', join(sysroot, 'boot/ostree'), '-name', 'vmlinuz*', '-printf', '%P');
    expect(await debugfs('boot', `stat /ostree/${kernels}`)).toContain('mtime: 0x00000000:00000000');
  });

  test('boots: boot code in the MBR, beside the disk id', async () => {
    const sector = (await readFile(image)).subarray(0, 512);
    expect(sector.subarray(510)).toEqual(Buffer.from([0x55, 0xaa]));
    const core = Number(sector.readBigUInt64LE(0x5c));
    expect(core * 512).toBe(name === 'vm' ? partition(plan, 'bios-boot').start : 512);
    if (name === 'pine') expect(sector.readUInt32LE(440).toString(16)).toBe('70696e65');
  });

  test('leaves the sysroot as it was', async () => {
    expect(existsSync(join(sysroot, 'boot/syslinux/syslinux.cfg'))).toBe(true);
    expect((await readdir(place.directory)).filter((entry) => entry.startsWith('.'))).toEqual([]);
  });
});

test('the ESP holds the loader under the name that firmware looks for, at the given time', async () => {
  const plan = planDisk(layoutNamed('vm'), 'seed');
  const image = join(place.directory, 'esp.img');
  await writeDisk(place.host, { plan, sysroot, output: image, epoch });
  const at = `${image}@@${partition(plan, 'esp').start}`;
  expect(await output('mdir', '-i', at, '::EFI/BOOT')).toMatch(/BOOTX64\s+EFI\s+\d+ 2025-11-01\s+12:26/);
  const start = (await execa('mcopy', ['-i', at, '::EFI/BOOT/BOOTX64.EFI', '-'], { encoding: 'buffer' }))
    .stdout;
  expect(Buffer.from(start.subarray(0, 2)).toString()).toBe('MZ');
});

test.each(['vm', 'pine'])(
  '%s: directory, order of creation, atime, umask and time zone of the builder do not show in the image',
  async (name) => {
    const plan = planDisk(layoutNamed(name), 'seed');
    const first = join(place.directory, 'first.img');
    await writeDisk(place.host, { plan, sysroot, output: first, epoch });

    const elsewhere = await mkdtemp(join(place.directory, 'elsewhere-'));
    const twin = join(elsewhere, 'a-much-longer-name-of-the-sysroot');
    await mkdir(twin);
    const copy = 'cd "$0" && find . -print0 | sort -rz | cpio -0pdm --quiet "$1"';
    await execa('sh', ['-c', copy, sysroot, twin]);
    await execa('sh', ['-c', 'find "$0" -exec touch -h -a -d 2001-02-03 {} +', twin]);
    await execa('setcap', [capability, join(twin, capableFile)]);
    const before = process.umask(0o077);
    const zone = process.env['TZ'];
    process.env['TZ'] = 'Pacific/Kiritimati';
    try {
      const second = join(elsewhere, 'second.img');
      await writeDisk(place.host, { plan, sysroot: twin, output: second, epoch });
      expect(await fileSha256(second)).toBe(await fileSha256(first));
    } finally {
      process.umask(before);
      if (zone === undefined) delete process.env['TZ'];
      else process.env['TZ'] = zone;
    }
  },
);

test('another seed and another epoch give another image', async () => {
  const digest = async (seed: string, time: number): Promise<string> => {
    const image = join(place.directory, 'other.img');
    await writeDisk(place.host, {
      plan: planDisk(layoutNamed('vm'), seed),
      sysroot,
      output: image,
      epoch: time,
    });
    return fileSha256(image);
  };
  const digests = [await digest('a', epoch), await digest('b', epoch), await digest('a', epoch + 1)];
  expect(new Set(digests).size).toBe(3);
});

describe('a disk that cannot be made', () => {
  const failing = async (text: string): Promise<TreelineError> => {
    const image = join(place.directory, 'failed.img');
    const plan = planDisk(parseLayout(text, 'my.cfg'), 'seed');
    const error = await writeDisk(place.host, { plan, sysroot, output: image, epoch }).then(
      () => undefined,
      (reason: unknown) => reason as TreelineError,
    );
    expect(existsSync(image)).toBe(false);
    expect(existsSync(join(sysroot, 'boot/syslinux/syslinux.cfg'))).toBe(true);
    expect(await readdir(place.host.workspace.temporary)).toEqual([]);
    return error!;
  };

  test('for want of room for the boot loader names the sector to begin at, and leaves nothing behind', async () => {
    const text = 'label: dos\nname=boot, start=63, size=72MiB\nname=rootfs, size=100MiB\n';
    const { code, message, hint } = await failing(text);
    expect(code).toBe('layout');
    expect(message).toMatch(
      /my\.cfg: the boot loader needs \d+ sectors, and the gap before the first partition has 62/,
    );
    expect(hint).toContain('start=2048');
  });

  test('for want of room for files says which partition, and leaves nothing behind', async () => {
    const text = 'label: dos\nname=boot, size=72MiB\nname=rootfs, size=12MiB\n';
    const { message, hint } = await failing(text);
    expect(message).toContain('Cannot make the rootfs filesystem: mke2fs failed');
    expect(hint).toContain('make rootfs larger (line 3 of the layout)');
  });
});

test.each([
  ['type=nonsense', 'Failed to add #2 partition'],
  ['attrs=nonsense', "unsupported GPT attribute bit 'nonsense'"],
])("sfdisk's own refusal of %s is shown", async (field, words) => {
  const text = `label: gpt\nname=bios, size=1MiB\nname=boot, size=9MiB, ${field}\nname=rootfs, size=9MiB\n`;
  const verified = verifyLayout(place.host, parseLayout(text, 'my.cfg'));
  const error = await verified.catch((reason: unknown) => reason as TreelineError);
  expect(error).toMatchObject({ code: 'layout', message: 'Cannot use layout my.cfg: sfdisk refuses it' });
  expect(error!.output).toContain(words);
});

test.each(['vm', 'pine'])('sfdisk accepts layouts/%s.cfg', async (name) => {
  await expect(verifyLayout(place.host, layoutNamed(name))).resolves.toBeUndefined();
});

test.each([
  ['boot', 12],
  ['boot', 72],
  ['rootfs', 40],
  ['rootfs', 300],
])(
  '%s of %i MiB: a file as large as checkSpace thinks fits, a slightly larger one does not',
  async (role, mebibytes) => {
    const size = mebibytes << 20;
    const layout = parseLayout(
      `label: dos\nname=boot, size=${size / 512}\nname=rootfs, size=${size / 512}\n`,
      'x',
    );
    const target = partition(planDisk(layout, 'seed'), role);
    const directory = await mkdtemp(join(place.directory, 'full-'));
    const image = join(place.directory, 'full.img');
    // What OSTree keeps free is free for mke2fs.
    const kept = role === 'rootfs' ? Math.ceil((size / 4096) * 0.03) * 4096 : 0;
    const make = async (bytes: number): Promise<void> => {
      await execa('fallocate', ['--length', String(bytes), join(directory, 'file')]);
      await execa('sh', ['-c', 'yes | head -c "$1" > "$0"', join(directory, 'file'), String(bytes)]);
      await createSparseFile(image, layout.diskBytes);
      await writeExt4(place.host, {
        image,
        partition: target,
        directory,
        scratch: place.directory,
        epoch,
        immutable: [],
      });
    };
    const usable = usableBytes(target.role, target.size) + kept;
    await make(usable);
    await expect(make(usable + 16 * 4096)).rejects.toThrow(`Cannot make the ${role} filesystem`);
    expect((await stat(image)).size).toBe(layout.diskBytes);
  },
);

test('OSTree extends the prepared syslinux.cfg at each deployment, and GRUB finds an entry for each', async () => {
  const directory = await mkdtemp(join(place.directory, 'again-'));
  const own = await makeSysroot({
    directory,
    kernel: 'kernel',
    initramfs: 'initramfs',
    kernelArguments: ['first'],
  });
  const entries = async (): Promise<string> =>
    output('grub-syslinux2cfg', '-s', '-r', join(own, 'boot'), join(own, 'boot/syslinux/syslinux.cfg'));
  expect((await entries()).match(/^menuentry/gm)).toHaveLength(1);
  for (const argument of ['second', 'third']) {
    await deploy(own, [argument]);
    const text = await entries();
    expect(text.match(/^menuentry/gm)).toHaveLength(2);
    expect(text).toMatch(new RegExp(`^ *linux.* ${argument}$`, 'm'));
    expect(text).toContain('set timeout=1');
  }
});
