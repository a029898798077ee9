import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { TreelineError } from '../../../src/host/errors.ts';
import { parseLayout, readLayout } from '../../../src/image/disk/layout.ts';
import { layoutScript } from '../../../src/image/disk/layout-script.ts';

const mib = 1 << 20;
const vm = readFileSync('layouts/vm.cfg', 'utf8');
const pine = readFileSync('layouts/pine.cfg', 'utf8');
const good = 'label: gpt\nname=bios, size=1MiB\nname=boot, size=72MiB\nname=rootfs, size=430MiB\n';

/** The error, as users see it: message, then hint. */
function refusal(text: string): string {
  try {
    parseLayout(text, 'my.cfg');
  } catch (error) {
    const { code, message, hint } = error as TreelineError;
    expect(code).toBe('layout');
    return `${message}\n${hint}`;
  }
  return 'accepted';
}

test('vm.cfg gives each partition its role, in order, each at a whole MiB', () => {
  const { label, partitions, diskBytes } = parseLayout(vm, 'vm.cfg');
  expect(label).toBe('gpt');
  expect(partitions.map(({ role, start, size }) => [role, start / mib, size / mib])).toEqual([
    ['bios-boot', 1, 1],
    ['esp', 2, 16],
    ['boot', 18, 72],
    ['swap', 90, 40],
    ['rootfs', 130, 430],
  ]);
  expect(diskBytes).toBe(561 * mib);
});

test('pine.cfg, a dump without names, gives roles by position and keeps starts and sizes', () => {
  const { label, labelId, partitions, diskBytes } = parseLayout(pine, 'pine.cfg');
  expect([label, labelId]).toEqual(['dos', '0x70696e65']);
  expect(
    partitions.map(({ role, start, size, bootable }) => [role, start / 512, size / 512, bootable]),
  ).toEqual([
    ['boot', 2048, 147456, true],
    ['swap', 149504, 81920, false],
    ['rootfs', 231424, 880640, false],
  ]);
  expect(diskBytes).toBe(543 * mib);
});

test('a DOS label with two nameless partitions has boot and rootfs; swap may be told by its type', () => {
  const roles = (text: string): string[] => parseLayout(text, 'x').partitions.map(({ role }) => role);
  expect(roles('label: dos\nsize=72MiB, type=83\nsize=400MiB, type=83')).toEqual(['boot', 'rootfs']);
  expect(roles('label: dos\nsize=9MiB, type=82\nsize=72MiB, type=83\nsize=400MiB, type=83')).toEqual([
    'swap',
    'boot',
    'rootfs',
  ]);
  expect(
    roles('label: dos\nsize=9MiB, type=ef\nsize=72MiB, type=83\nsize=9MiB, type=83\nsize=99MiB, type=83'),
  ).toEqual(['esp', 'boot', 'swap', 'rootfs']);
});

test('names count in any case, and types tell what names do not', () => {
  const { partitions } = parseLayout(
    [
      'label: gpt',
      'size=1MiB, type=21686148-6449-6E6F-744E-656564454649',
      'size=16MiB, type=c12a7328-f81f-11d2-ba4b-00a0c93ec93b, name="System, hidden"',
      'NAME=BOOT, size=72MiB',
      'size=8MiB, type=swap',
      'name="Root", size=1GiB # the rest',
    ].join('\n'),
    'x',
  );
  expect(partitions.map(({ role }) => role)).toEqual(['bios-boot', 'esp', 'boot', 'swap', 'rootfs']);
  expect(partitions[1]!.name).toBe('System, hidden');
});

test('starts and sizes are sectors or carry a unit', () => {
  const sizeOf = (size: string): number => parseLayout(good.replace('430MiB', size), 'x').partitions[2]!.size;
  expect(['880640', '430MiB', '440320KiB', '430M', ' 1GiB'].map(sizeOf)).toEqual(
    [430, 430, 430, 430, 1024].map((size) => size * mib),
  );
  expect(parseLayout(good.replace('name=boot,', 'name=boot, start=20MiB,'), 'x').partitions[1]!.start).toBe(
    20 * mib,
  );
});

test('without a size, the last partition of a dump ends where last-lba says', () => {
  const text = `${good.replace(', size=430MiB', '')}`.replace('label: gpt', 'label: gpt\nlast-lba: 1048575');
  const { partitions, diskBytes } = parseLayout(text, 'x');
  expect(partitions[2]!.start + partitions[2]!.size).toBe(512 * mib);
  expect(diskBytes).toBe(513 * mib);
});

test('the script for sfdisk leaves nothing open, and reads as the same layout', () => {
  const layout = parseLayout(vm, 'x');
  const script = layoutScript(layout, { labelId: 'AA', partitionIds: ['1', '2', '3', '4', '5'] });
  expect(script).toContain('label-id: AA\n');
  expect(script).toContain('start=266240, size=880640, type=L, name=rootfs, uuid=5\n');
  const again = parseLayout(layoutScript(layout), 'x');
  expect(again.partitions.map(({ role, start, size }) => [role, start, size])).toEqual(
    layout.partitions.map(({ role, start, size }) => [role, start, size]),
  );
});

test.each([
  ['an overlap', good.replace('name=rootfs,', 'name=rootfs, start=4096,'), /my\.cfg:4: rootfs \(start 4096\) overlaps boot, .*start=151552 or later/s],
  ['a start inside the partition table', good.replace('name=bios,', 'name=bios, start=33,'), /my\.cfg:2: bios begins at sector 33, inside/],
  ['no rootfs', good.replace(/name=rootfs.*\n/, ''), /my\.cfg: it has no rootfs partition\nAdd one, e\.g\. name=rootfs, size=430MiB/],
  ['no boot', good.replace(/name=boot.*\n/, ''), /my\.cfg: it has no boot partition\nAdd one/],
  ['GPT that boots nowhere', good.replace(/name=bios.*\n/, ''), /without BIOS-boot partition and ESP boots nowhere\nAdd name=bios-boot/],
  ['an unknown role', good.replace('rootfs', 'rootsf'), /my\.cfg:4: no partition is called 'rootsf'\nDid you mean rootfs\?/],
  ['nothing that tells the role', good.replace('name=rootfs, ', ''), /my\.cfg:4: nothing says what this partition is for.*\nName it/],
  ['a role twice', `${good}name=root, size=9MiB\n`, /my\.cfg:5: root is a second rootfs partition; the first stands in line 4/],
  ['size 0', good.replace('430MiB', '0'), /my\.cfg:4: size is 0\nGive the partition a size/],
  ['no size', good.replace(', size=430MiB', ''), /my\.cfg:4: the partition has no size.*\nGive it a size/],
  ['a size that is none', good.replace('430MiB', '430 parsecs'), /my\.cfg:4: size cannot be '430 parsecs'\nGive sectors or a unit/],
  ['a size that nobody has', good.replace('430MiB', '99999999TiB'), /my\.cfg:4: size '99999999TiB' is beyond 16 TiB/],
  ['an unknown field', good.replace('size=430MiB', 'siez=430MiB'), /my\.cfg:4: a partition has no field 'siez'\nDid you mean size\?/],
  ['a field twice', good.replace('size=430MiB', 'size=1, size=2'), /my\.cfg:4: size is given twice/],
  ['a line without fields', `${good}2048,4096,L\n`, /my\.cfg:5: '2048' is neither a header nor a field\nWrite fields as name=value/],
  ['an unknown header', good.replace('label:', 'lable:'), /my\.cfg:1: there is no header 'lable'\nDid you mean label\?/],
  ['another label', good.replace('gpt', 'sun'), /my\.cfg:1: label cannot be 'sun'\nWrite label: gpt or label: dos/],
  ['another sector size', `sector-size: 4096\n${good}`, /my\.cfg:1: sector-size cannot be '4096'/],
  ['no partitions', 'label: gpt\n', /my\.cfg: it has no partitions/],
  ['five partitions on a DOS label', `label: dos\n${'name=boot, size=1\n'.repeat(5)}`, /four primary partitions.*Use label: gpt/s],
  ['a DOS type that is none', 'label: dos\nname=boot, size=9MiB, type=zz\nname=rootfs, size=9MiB\n', /my\.cfg:2: a DOS label has no type 'zz'\nWrite type=83/],
  ['an extended partition', 'label: dos\nname=boot, size=9MiB, type=5\nname=rootfs, size=9MiB\n', /my\.cfg:2: .*logical ones are not supported/],
  ['too many nameless partitions on a DOS label', `label: dos\n${'size=1, type=83\n'.repeat(4)}`, /my\.cfg:2: nothing says what/],
])('refuses %s, and says where and the way out', (_, text, expected) => {
  expect(refusal(text)).toMatch(expected);
}); // prettier-ignore

test('several mistakes are told at once', () => {
  const text = refusal('label: gpt\nname=swap, size=8MiB\nname=swap, size=8MiB\n');
  for (const part of ['a second swap', 'no rootfs', 'no boot', 'boots nowhere']) expect(text).toContain(part);
});

test('a layout that is not there is named', async () => {
  await expect(readLayout('layouts/nowhere.cfg')).rejects.toThrow(
    'Cannot use layout layouts/nowhere.cfg: there is no such file',
  );
});
