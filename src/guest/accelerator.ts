import { release } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { TreelineError } from '../host/errors.ts';
import {
  isAccessible,
  readTextIfExists,
  remove,
  temporaryDirectory,
  writeFile,
  writeFileAtomically,
} from '../host/files.ts';
import type { Host } from '../host/host.ts';
import type { Accelerator } from './qemu.ts';

/** How guests run on this machine, with the reason in words for people. */
export interface AcceleratorChoice {
  accelerator: Accelerator;
  reason: string;
}

const remembered = z.object({
  kernel: z.string(),
  bootId: z.string(),
  accelerator: z.enum(['kvm', 'tcg']),
  reason: z.string(),
});

/**
 * KVM where a guest gets through a boot sector with it, in a time that hardware would take; emulation (TCG)
 * otherwise. The trial has a time limit, because there are machines whose /dev/kvm opens and then leads nowhere.
 * Its result is kept in the workspace until the machine boots again.
 */
export async function chooseAccelerator(host: Host): Promise<AcceleratorChoice> {
  if (!(await isAccessible('/dev/kvm', 'write'))) {
    return { accelerator: 'tcg', reason: 'this user cannot open /dev/kvm' };
  }
  const now = {
    kernel: release(),
    bootId: (await readTextIfExists('/proc/sys/kernel/random/boot_id')) ?? '',
  };
  const file = join(host.workspace.state, 'accelerator.json');
  const known = remembered.safeParse(parseJson(await readTextIfExists(file))).data;
  if (known?.kernel === now.kernel && known.bootId === now.bootId) return known;
  const choice = await tryKvm(host);
  await writeFileAtomically(file, `${JSON.stringify({ ...now, ...choice }, null, 2)}\n`);
  return choice;
}

function parseJson(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? 'null');
  } catch {
    return null;
  }
}

/** Emulation's own time is the measure, so that a busy machine is not taken for a broken one. */
async function tryKvm(host: Host): Promise<AcceleratorChoice> {
  const directory = await temporaryDirectory(host.workspace.temporary, 'kvm');
  try {
    const disk = join(directory, 'boot-sector.img');
    await writeFile(disk, bootSectorDisk());
    const emulated = (await secondsToBoot(host, { accelerator: 'tcg', disk, limit: 10 })) ?? 1;
    const limit = Math.min(10, Math.max(1, 8 * emulated));
    const seconds = await secondsToBoot(host, { accelerator: 'kvm', disk, limit });
    if (seconds !== undefined) return { accelerator: 'kvm', reason: 'a trial guest ran with KVM' };
    return {
      accelerator: 'tcg',
      reason: `/dev/kvm opens, but a trial guest did not get anywhere with it in ${limit.toFixed(1)} s`,
    };
  } finally {
    await remove(directory);
  }
}

/** Seconds until the boot sector ended its machine, or undefined where it did not within `limit` seconds. */
async function secondsToBoot(
  host: Host,
  { accelerator, disk, limit }: { accelerator: Accelerator; disk: string; limit: number },
): Promise<number | undefined> {
  const started = performance.now();
  try {
    const { exitCode } = await host.run({
      program: 'timeout',
      args: [
        '-s',
        'KILL',
        limit.toFixed(1),
        ...endsWithParent,
        'qemu-system-x86_64',
        ...trialArguments(accelerator, disk),
      ],
      accept: [0, 1, 124, 137, trialExitCode],
    });
    return exitCode === trialExitCode ? (performance.now() - started) / 1000 : undefined;
  } catch (error) {
    // Having ended the guest, timeout(1) ends itself by the same signal.
    if (error instanceof TreelineError && error.code === 'command') return undefined;
    throw error;
  }
}

const endsWithParent = ['setpriv', '--pdeathsig', 'KILL'];

const trialArguments = (accelerator: Accelerator, disk: string): string[] => [
  ...[
    '-no-user-config',
    '-nodefaults',
    '-display',
    'none',
    '-machine',
    'q35',
    '-accel',
    accelerator,
    '-m',
    '16',
  ],
  ...['-device', 'isa-debug-exit,iobase=0xf4,iosize=0x04', '-no-reboot'],
  ...['-drive', `if=none,id=disk0,format=raw,readonly=on,file=${disk.replaceAll(',', ',,')}`],
  ...['-device', 'virtio-blk-pci,drive=disk0'],
];

/** QEMU's isa-debug-exit device ends it with (value << 1) | 1. */
const trialValue = 0x10;
const trialExitCode = (trialValue << 1) | 1;

/** A disk whose boot sector writes `trialValue` to isa-debug-exit. Firmware does not read a disk much smaller. */
function bootSectorDisk(): Uint8Array {
  const disk = new Uint8Array(1 << 20);
  const code = [
    ...[0xba, 0xf4, 0x00], // mov dx, 0xf4
    ...[0xb0, trialValue], // mov al, trialValue
    0xee, // out dx, al
    0xf4, // hlt
    ...[0xeb, 0xfd], // jmp to the hlt
  ];
  disk.set(code, 0);
  disk.set([0x55, 0xaa], 510);
  return disk;
}
