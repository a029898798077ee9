import { mkdir, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { bootCounting } from '../../../src/image/disk/grub-config.ts';
import { parseLayout } from '../../../src/image/disk/layout.ts';
import { planDisk } from '../../../src/image/disk/plan.ts';
import { writeDisk } from '../../../src/image/disk/write.ts';
import { startVm } from '../../helpers/qemu.ts';
import type { Place } from './sysroots.ts';

/** What GRUB decided, and the grubenv that it left behind. */
export interface Decision {
  /** The entry that starts, and the one that starts where that one cannot be loaded. */
  entry: number;
  fallback: number;
  /** Undefined where there is none. */
  after: Buffer | undefined;
}

/**
 * Runs the boot counting of a real disk's grub.cfg over many grubenv files in one start of GRUB, each in a directory
 * of its own. `cases`: name (of one or more parts) → content; undefined for no file.
 */
export async function countInGrub(
  place: Place,
  {
    sysroot,
    cases,
    uefi,
  }: { sysroot: string; cases: ReadonlyMap<string, Buffer | undefined>; uefi: boolean },
): Promise<Map<string, Decision>> {
  for (const [name, content] of cases) {
    const file = join(sysroot, 'cases', name, 'grubenv');
    await mkdir(dirname(file), { recursive: true });
    if (content !== undefined) await writeFile(file, content);
  }
  await writeFile(join(sysroot, 'boot/grub/grub.cfg'), session([...cases.keys()]));
  const image = join(place.directory, `session-${uefi ? 'uefi' : 'bios'}.img`);
  const plan = planDisk(parseLayout(readFileSync('layouts/vm.cfg', 'utf8'), 'vm'), 'boot counting');
  await writeDisk(place.host, { plan, sysroot, output: image, epoch: 1_762_000_000 });
  const output = await runGrub(image, uefi);

  const left = join(place.directory, `left-${uefi ? 'uefi' : 'bios'}`);
  await mkdir(left);
  const { start } = plan.partitions.find(({ role }) => role === 'rootfs')!;
  await execa('debugfs', ['-R', `rdump /cases ${left}`, `${image}?offset=${start}`]);
  const decided = output.matchAll(/^DECIDED (\S+) (\d) (\d)\r?$/gm);
  return new Map(
    [...decided].map(([, name, entry, fallback]) => {
      const after =
        cases.get(name!) === undefined ? undefined : readFileSync(join(left, 'cases', name!, 'grubenv'));
      return [name!, { entry: Number(entry), fallback: Number(fallback), after }];
    }),
  );
}

/** Starts GRUB with the disk's own grub.cfg, and gives the first words that it says of each entry that it starts. */
export async function startEntries(
  place: Place,
  { sysroot, grubenv }: { sysroot: string; grubenv: Buffer },
): Promise<string[]> {
  await writeFile(join(sysroot, 'boot/grub/grubenv'), grubenv);
  const image = join(place.directory, 'entries.img');
  const plan = planDisk(parseLayout(readFileSync('layouts/vm.cfg', 'utf8'), 'vm'), 'boot counting');
  await writeDisk(place.host, { plan, sysroot, output: image, epoch: 1_762_000_000 });
  const vm = await startVm({ image });
  try {
    const started: string[] = [];
    for (let entry = 0; entry < 2; entry++) {
      const [, words, number] = await vm.waitFor(/(Booting|Falling back to) `[^']*\(ostree:(\d)\)'/, 120_000);
      started.push(`${words} ${number}`);
    }
    return started;
  } finally {
    await vm.kill();
  }
}

async function runGrub(image: string, uefi: boolean): Promise<string> {
  const vm = await startVm({ image, keep: true, uefi });
  try {
    await vm.waitFor('DECIDED all', 600_000);
    await vm.waitExit();
    return vm.output;
  } finally {
    await vm.kill();
  }
}

function session(names: readonly string[]): string {
  return `if [ "$grub_platform" = pc ]; then
  serial --unit=0 --speed=115200
  terminal_output serial
fi
search --no-floppy --label treeline-root --set=disk
function count {
${bootCounting}}
function try {
  set prefix=($disk)/cases/$1
  set default=0
  set fallback=1
  count
  echo
  echo "DECIDED $1 $default $fallback"
}
${names.map((name) => `try ${name}\n`).join('')}echo "DECIDED all"
reboot
`;
}
