import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openMonitor } from '../helpers/monitor.ts';
import type { Vm, VmOptions } from '../helpers/qemu.ts';
import { startVm } from '../helpers/qemu.ts';
import { diskIn, diskOver } from './disks.ts';

export type MachineOptions = Required<Pick<VmOptions, 'key' | 'memory'>> & Pick<VmOptions, 'uefi'>;

/** A machine at one moment of its life, that can go on from there any number of times. */
export interface Frozen {
  /** QCOW2; nobody may write to it any more. */
  disk: string;
  /** Memory and devices, as QEMU migrates them. */
  state: string;
  machine: MachineOptions;
}

/** Switches a machine on that can be frozen, its disk (QCOW2, written to) and monitor in `directory`. */
export const startFreezable = (directory: string, machine: MachineOptions): Promise<Vm> =>
  powerOn(diskIn(directory), machine, monitorArguments(directory));

/** Freezes such a machine; it ends. */
export async function freeze(vm: Vm, directory: string, machine: MachineOptions): Promise<Frozen> {
  const state = join(directory, 'state');
  const monitor = await openMonitor(monitorIn(directory));
  // It still runs while this is written, and what it does meanwhile is in it.
  await monitor.ask('migrate', { uri: `exec:cat >${state}` });
  for (;;) {
    const { status } = (await monitor.ask('query-migrate')) as { status: string };
    if (status === 'completed') break;
    if (status === 'failed') throw new Error('QEMU cannot save the state of the machine');
    await sleep(20);
  }
  monitor.close();
  await vm.kill();
  return { disk: diskIn(directory), state, machine };
}

/** The machine goes on, its writes in `disk`, which is made. */
export async function resume(
  { disk: base, state, machine }: Frozen,
  disk: string,
  extraArgs: readonly string[] = [],
): Promise<Vm> {
  await diskOver(base, disk);
  return powerOn(disk, machine, [...goingOn(state), ...extraArgs]);
}

/** QEMU's arguments for a machine that goes on from a saved state. */
export const goingOn = (state: string): string[] => ['-incoming', `exec:cat ${state}`];

/** Brings a machine that went on into the present: its clock stood still with it. */
export async function setClock(vm: Vm): Promise<void> {
  // QEMU's hardware clock is this machine's.
  await vm.sshText('hwclock -s -u -f /dev/rtc0');
}

/** Goes on with a machine that is to live in the present. */
export async function goOn(frozen: Frozen, disk: string): Promise<Vm> {
  const vm = await resume(frozen, disk);
  await setClock(vm);
  return vm;
}

/** The machine goes on, and can be frozen again. */
export const resumeFreezable = (frozen: Frozen, directory: string): Promise<Vm> =>
  resume(frozen, diskIn(directory), monitorArguments(directory));

/** Starts a machine that writes to `disk`. It ends when the guest restarts. */
export const powerOn = (
  disk: string,
  machine: MachineOptions,
  extraArgs: readonly string[] = [],
): Promise<Vm> => startVm({ ...machine, image: disk, keep: true, extraArgs });

const monitorIn = (directory: string): string => join(directory, 'monitor');
const monitorArguments = (directory: string): string[] => [
  '-qmp',
  `unix:${monitorIn(directory)},server=on,wait=off`,
];
