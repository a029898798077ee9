import type { Vm } from '../helpers/qemu.ts';
import { spending } from '../helpers/spent.ts';
import type { MachineOptions } from './frozen.ts';
import { powerOn } from './frozen.ts';

/** What the guest says on its console, in this order, at every start. */
export const saysReady = /treeline: default runlevel reached, (\d+) services failed/;
/** The whole line: its end may come later than its beginning. */
export const saysHealth = /treeline: health: (good|failed|fell back)[^\r\n]*(?=[\r\n])/;

export interface StartOptions {
  /** How many starts are too many: 5 by default. */
  limit?: number;
  /** Milliseconds after which a person switches a machine that says nothing off and on again; by default that is an error. */
  patience?: number;
  extraArgs?: readonly string[];
}

export interface Started {
  vm: Vm;
  /** How often the machine started, the last time included. */
  starts: number;
  /** What it said about its health. */
  health: string;
}

/** Milliseconds. A machine that stands still for so long has to be restarted by a person. */
const startLimit = 600_000;
const restartLimit = 240_000;

/**
 * Starts a machine from `disk` (written to), again each time that it restarts by itself, until it has judged its own
 * health and stays up. Throws where that takes more than `limit` starts, or where it hangs.
 */
export async function startUntilUp(
  disk: string,
  machine: MachineOptions,
  { limit = 5, patience, extraArgs = [] }: StartOptions = {},
): Promise<Started> {
  let said = '';
  for (let starts = 1; starts <= limit; starts += 1) {
    const vm = await powerOn(disk, machine, extraArgs);
    try {
      const health = await spending('guest starts', () => healthOf(vm, patience));
      if (health !== undefined) return { vm, starts, health };
    } catch (error) {
      await vm.kill();
      throw error;
    }
    said = vm.output.slice(-2000);
  }
  throw new Error(`not up after ${limit} starts. The last one said:\n${said}`);
}

/** What a machine that was switched on says; undefined where it has restarted. */
async function healthOf(vm: Vm, patience: number | undefined): Promise<string | undefined> {
  if (patience !== undefined && (await standsStill(vm, patience))) {
    await vm.kill();
    return undefined;
  }
  try {
    const [health, verdict] = await vm.waitFor(saysHealth, startLimit);
    if (verdict !== 'failed') return health;
  } catch (error) {
    if (!(error as Error).message.includes('QEMU ended')) throw error;
  }
  // A version on trial that is not well restarts.
  await vm.waitExit(restartLimit);
  return undefined;
}

/** Whether it said nothing but what the boot loader says, for so long. */
const standsStill = async (vm: Vm, patience: number): Promise<boolean> =>
  vm.waitFor(saysAnything, patience).then(
    () => false,
    () => true,
  );

/** The kernel, the initramfs or OpenRC. */
const saysAnything = /OpenRC|Kernel panic|treeline: cannot boot/;
