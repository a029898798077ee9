import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { TreelineError } from '../../../src/host/errors.ts';
import { parseLayout } from '../../../src/image/disk/layout.ts';
import { planDisk } from '../../../src/image/disk/plan.ts';
import { checkSpace } from '../../../src/image/disk/space.ts';

const mib = 1 << 20;
const read = (name: string): ReturnType<typeof parseLayout> =>
  parseLayout(readFileSync(`layouts/${name}.cfg`, 'utf8'), `layouts/${name}.cfg`);
const [vm, pine] = [read('vm'), read('pine')];

test('the same seed gives the same ids, another one gives others', () => {
  expect(planDisk(vm, 'a')).toEqual(planDisk(vm, 'a'));
  const ids = (seed: string): string[] => {
    const { labelId, partitions } = planDisk(vm, seed);
    return [
      labelId,
      ...partitions.flatMap(({ uuid, partitionUuid, hashSeed }) => [uuid, partitionUuid, hashSeed]),
    ];
  };
  const all = [...ids('a'), ...ids('b')].filter((id) => id !== '');
  expect(new Set(all).size).toBe(all.length);
});

test('ids have the form that their place asks for', () => {
  const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
  for (const seed of ['a', 'b', 'c', 'd', 'e']) {
    const plan = planDisk(vm, seed);
    expect(plan.labelId).toMatch(uuid);
    for (const { partitionUuid, hashSeed } of plan.partitions)
      expect([partitionUuid, hashSeed].every((id) => uuid.test(id))).toBe(true);
    expect(plan.partitions.map(({ filesystem }) => filesystem)).toEqual([
      'none',
      'vfat',
      'ext4',
      'swap',
      'ext4',
    ]);
    expect(plan.partitions[0]!.uuid).toBe('');
    expect(plan.partitions[1]!.uuid).toMatch(/^[0-9A-F]{4}-[0-9A-F]{4}$/);
    expect([plan.bootUuid, plan.rootUuid]).toEqual([plan.partitions[2]!.uuid, plan.partitions[4]!.uuid]);
    expect(plan.rootUuid).toMatch(uuid);
  }
});

test('labels are the ones that guests look for', () => {
  expect(planDisk(pine, 'a').partitions.map(({ label }) => label)).toEqual([
    'treeline-boot',
    'treeline-swap',
    'treeline-root',
  ]);
});

test('ids that a layout fixes stay; a DOS disk without one gets eight digits', () => {
  expect(planDisk(pine, 'a').labelId).toBe('0x70696e65');
  expect(planDisk({ ...pine, labelId: undefined }, 'a').labelId).toMatch(/^0x[0-9a-f]{8}$/);
  const fixed = 'aaaaaaaa-0000-4000-8000-000000000000';
  const layout = { ...vm, partitions: vm.partitions.map((partition) => ({ ...partition, uuid: fixed })) };
  expect(planDisk(layout, 'a').partitions.every(({ partitionUuid }) => partitionUuid === fixed)).toBe(true);
});

/** The kernel of base debian and its initramfs. */
const kernel = 14.2 * mib + 4 * mib;

test.each([vm, pine])(
  'the layouts that come along hold three kernels and two commits of the base',
  (layout) => {
    expect(() =>
      checkSpace(planDisk(layout, 'a'), { bootBytes: kernel, commitBytes: 150 * mib }),
    ).not.toThrow();
  },
);

function refusal(text: string, needs: Parameters<typeof checkSpace>[1]): string {
  try {
    checkSpace(planDisk(parseLayout(text, 'my.cfg'), 'a'), needs);
  } catch (error) {
    const { code, message, hint } = error as TreelineError;
    expect(code).toBe('layout');
    return `${message}\n${hint}`;
  }
  return 'accepted';
}

const sized = (boot: number, rootfs: number): string =>
  `label: dos\nname=boot, size=${boot}MiB\nname=rootfs, size=${rootfs}MiB\n`;
const needs = { bootBytes: kernel, commitBytes: 150 * mib };

test("the original's 40 MiB for boot are refused with the size that would do, which is then accepted", () => {
  const text = refusal(sized(40, 430), needs);
  expect(text).toMatch(
    /my\.cfg:2: boot is too small: of its 40 MiB files get 35\.8 MiB; the kernel and initramfs of 3 deployments \(18\.2 MiB each\) need 54\.8 MiB/,
  );
  const enough = Number(/size=(\d+)MiB for boot/.exec(text)![1]);
  expect(enough).toBeLessThan(62);
  expect(refusal(sized(enough, 430), needs)).toBe('accepted');
  expect(refusal(sized(enough - 1, 430), needs)).toContain('too small');
});

test('a rootfs without room for the second commit is refused with the size that would do, which is then accepted', () => {
  const text = refusal(sized(72, 250), needs);
  expect(text).toMatch(
    /my\.cfg:3: rootfs is too small: of its 250 MiB files get .*; 2 commits \(150 MiB each\)/,
  );
  const enough = Number(/size=(\d+)MiB for rootfs/.exec(text)![1]);
  expect(refusal(sized(72, enough), needs)).toBe('accepted');
  expect(refusal(sized(72, enough - 1), needs)).toContain('too small');
});

test('both sizes are told at once, also for partitions that are smaller than their own journal', () => {
  expect(refusal(sized(2, 2), needs)).toMatch(/size=\d+MiB for boot and size=\d+MiB for rootfs/);
});
