import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { SshOutput } from '../helpers/ssh.ts';
import type { Vm } from '../helpers/qemu.ts';
import { spending } from '../helpers/spent.ts';
import { startVm } from '../helpers/qemu.ts';
import type { Frozen, MachineOptions } from '../faults/frozen.ts';
import { goOn } from '../faults/frozen.ts';
import { artifact, measured, readyMarker, seconds } from './figures.ts';
import type { BuiltVersion } from './images.ts';

/** A virtual machine of a built version, in its default runlevel; its disk outlasts restarts. */
export interface Machine extends Omit<Vm, 'sshPort' | 'output' | 'kill'> {
  /** QCOW2: all that was written. */
  readonly disk: string;
  /**
   * Restarts it from the inside, by `reboot` or another command, and waits for the default runlevel. `change`: from now on
   * it has another firmware, or other memory.
   */
  reboot(command?: string, change?: Partial<MachineOptions>): Promise<void>;
  /** All output of a command that must not succeed. */
  refused(command: string): Promise<string>;
  /** `treeline upgrade` from a server on this port of the host. */
  upgrade(port: number): Promise<SshOutput>;
  /** Ends it and removes its disk. */
  remove(): Promise<void>;
}

/** `running`: such a machine that was frozen, which goes on instead of being started. */
export async function startMachine(
  version: BuiltVersion,
  { running, ...given }: MachineOptions & { running?: Frozen },
): Promise<Machine> {
  const directory = await mkdtemp(join(tmpdir(), 'treeline-disk-'));
  const disk = join(directory, 'disk.qcow2');
  let options = given;
  let vm: Vm | undefined;
  // Emulated processors take minutes for a kernel that starts where another one has run, so each start has a new QEMU.
  const start = async (): Promise<void> => {
    const before = performance.now();
    vm = await startVm({
      ...options,
      image: artifact(version, '.img'),
      overlay: disk,
    });
    const started = vm;
    await spending('guest starts', () => started.waitFor(readyMarker, 300_000));
    const what = `${version.manifest.ref}, ${options.uefi === true ? 'UEFI' : 'BIOS'}, ${options.memory} MiB`;
    measured(`${what}: from power on to the default runlevel`, seconds(performance.now() - before));
  };
  const remove = async (): Promise<void> => {
    await vm?.kill();
    await rm(directory, { recursive: true, force: true });
  };
  try {
    if (running === undefined) await start();
    else vm = await goOn(running, disk);
  } catch (error) {
    await remove();
    throw error;
  }
  const now = (): Vm => vm!;
  return {
    disk,
    waitFor: (...args) => now().waitFor(...args),
    send: (text) => now().send(text),
    ssh: (...args) => now().ssh(...args),
    sshText: (...args) => now().sshText(...args),
    waitExit: (...args) => now().waitExit(...args),
    async reboot(command = 'reboot', change = {}) {
      await now().ssh(command);
      await now().waitFor('reboot: Restarting system', 300_000);
      await now().waitExit();
      options = { ...options, ...change };
      await start();
    },
    async refused(command) {
      const { stdout, stderr, exitCode } = await now().ssh(command);
      expect({ command, output: stdout + stderr, exitCode }).not.toMatchObject({ exitCode: 0 });
      return stdout + stderr;
    },
    upgrade: (port) =>
      spending('upgrades in guests', () =>
        now().ssh(`treeline upgrade --url http://10.0.2.2:${port}`, { timeoutMs: 300_000 }),
      ),
    remove,
  };
}

/** Seconds by which a guest's clock is wrong, however long the question takes. */
export async function clockError(text: (command: string) => Promise<string>): Promise<number> {
  const before = Date.now() / 1000;
  const time = Number(await text('date +%s'));
  return Math.max(before - time, time - Date.now() / 1000, 0);
}
