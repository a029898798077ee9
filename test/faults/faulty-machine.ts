import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spending } from '../helpers/spent.ts';
import type { SshOutput } from '../helpers/ssh.ts';
import { diskIn, diskOver } from './disks.ts';
import type { Vm } from '../helpers/qemu.ts';
import type { Frozen, MachineOptions } from './frozen.ts';
import { goOn } from './frozen.ts';
import { inspect } from './power-cuts.ts';
import type { Started, StartOptions } from './start.ts';
import { startUntilUp } from './start.ts';

/** What `treeline status --json` says, as far as these tests read it. */
export interface Status {
  deployments: { commit: string; version: string; running: boolean; next: boolean }[];
  trial: { commit: string; triesLeft: number | null } | null;
  lastResult: { result: string; commit: string; reason: string } | null;
  bad: { commit: string; version: string; reason: string }[];
}

/** A machine that is given broken versions. It is up between the calls. */
export interface FaultyMachine {
  ssh(command: string): Promise<SshOutput>;
  /** Standard output, trimmed, of a command that must succeed. */
  text(command: string): Promise<string>;
  /** `treeline upgrade`, with options. */
  upgrade(options?: string): Promise<SshOutput>;
  status(): Promise<Status>;
  /** Restarts it until it is up again. */
  restart(options?: StartOptions): Promise<Omit<Started, 'vm'>>;
  /** `seconds` from its start until the version that starts next counts as hanging; the others have all the time they need. */
  setDeadline(seconds: number): Promise<void>;
  /** As if the version on trial had been started in vain, all times but one: starts are what takes the time. */
  leaveOneTry(): Promise<void>;
  /** Switches it off without a word, once its disk has everything, and looks at that from outside: what is amiss with it. */
  cutAndInspect(): Promise<string[]>;
  /** Ends it and removes its disk. */
  remove(): Promise<void>;
}

/**
 * `from`: a disk image, or a machine that was frozen. `url`: where its upgrades come from. `extraArgs`: for its first start
 * from an image.
 */
export async function startFaultyMachine(
  from: string | Frozen,
  { machine, url, extraArgs = [] }: { machine: MachineOptions; url: string; extraArgs?: readonly string[] },
): Promise<FaultyMachine> {
  const directory = await mkdtemp(join(tmpdir(), 'treeline-faulty-'));
  const disk = diskIn(directory);
  const first = async (): Promise<Vm> => {
    if (typeof from !== 'string') return goOn(from, disk);
    await diskOver(from, disk);
    return (await startUntilUp(disk, machine, { extraArgs })).vm;
  };
  let vm = await first();
  const text = (command: string): Promise<string> => vm.sshText(command, { timeoutMs: 300_000 });
  return {
    text,
    ssh: (command) => vm.ssh(command, { timeoutMs: 300_000 }),
    upgrade: (options = '') =>
      spending('upgrades in guests', () =>
        vm.ssh(`treeline upgrade --url ${url} ${options} 2>&1`, { timeoutMs: 600_000 }),
      ),
    status: async () => JSON.parse(await text('treeline status --json')) as Status,
    async restart(options) {
      await vm.ssh('reboot');
      await vm.waitExit();
      const { starts, health, ...started } = await startUntilUp(disk, machine, options);
      ({ vm } = started);
      return { starts, health };
    },
    async setDeadline(seconds) {
      await text(`cd /boot/loader && mount -o remount,rw /boot &&
        awk '/APPEND/ && !done { $0 = $0 " treeline.deadline=${seconds}"; done = 1 } { print }' syslinux.cfg >/run/changed &&
        cat /run/changed >syslinux.cfg && cd / && mount -o remount,ro /boot`);
    },
    async leaveOneTry() {
      await text(`mount -o remount,rw /boot && sed -i 's/^treeline_tries=3$/treeline_tries=1/' /boot/grub/grubenv &&
        mount -o remount,ro /boot && treeline status --json | grep -q '"triesLeft":1'`);
    },
    async cutAndInspect() {
      await text('sync');
      await vm.kill();
      return (await inspect(disk)).problems;
    },
    async remove() {
      await vm.kill();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
