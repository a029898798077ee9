import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import type { Commit } from '../../src/model.ts';
import type { Vm } from '../helpers/qemu.ts';
import type { DiskReport } from './disk-check.ts';
import { inspectDisk } from './disk-check.ts';
import { diskIn, diskOver, rawDisk } from './disks.ts';
import type { Frozen, MachineOptions } from './frozen.ts';
import { freeze, powerOn, resume, resumeFreezable, setClock } from './frozen.ts';
import { seededRandom } from './random.ts';
import { saysHealth, saysReady, startUntilUp } from './start.ts';

/** A stretch of an upgrade: from one thing that the machine says to the next. */
interface Phase {
  name: string;
  /** Which of the rehearsed states the machine is started from. */
  from: 'upgrade' | 'shutdown' | 'first start';
  /** Said at its beginning; undefined: it begins when the machine is switched on. */
  begins: string | RegExp | undefined;
}

const upgradeBegins = 'faults: upgrade begins';
const upgradeEnds = /faults: upgrade ends with (\d+)[\r\n]/;
const shutdownBegins = 'faults: shutdown begins';

const phases = [
  { name: 'index', from: 'upgrade', begins: upgradeBegins },
  { name: 'download', from: 'upgrade', begins: /treeline: downloading/ },
  { name: 'unpack, deploy, swap of the boot entries', from: 'upgrade', begins: /treeline: unpacking/ },
  { name: 'shutdown', from: 'shutdown', begins: shutdownBegins },
  { name: 'boot loader, kernel, initramfs', from: 'first start', begins: undefined },
  { name: 'services', from: 'first start', begins: /OpenRC/ },
  { name: 'health checks and success mark', from: 'first start', begins: saysReady },
] as const satisfies readonly Phase[];

/** Of ten points, how many are in which phase: most where most is written. */
const shares = [2, 5, 1, 4, 2, 3, 6, 0, 2, 6] as const;

/** A moment at which the power goes. */
export interface Point {
  number: number;
  phase: Phase;
  /** 0 to 1: how much of the phase is over. */
  fraction: number;
}

/** The same seed gives the same points; more of them begin with the same ones. */
export function planPoints(seed: number, count: number): Point[] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, (_, index) => ({
    number: index + 1,
    phase: phases[shares[index % shares.length]!]!,
    fraction: random.fraction(),
  }));
}

/** An upgrade that was done once without a fault, and can be begun again at any of its stages. */
export interface Rehearsed {
  machine: MachineOptions;
  url: string;
  from: Commit;
  to: Commit;
  states: { upgrade: Frozen; shutdown: Frozen; 'first start': string };
  /** Milliseconds of each phase. */
  lengths: ReadonlyMap<string, number>;
}

export interface Rehearsal {
  /** A machine that runs the old version, and was found well. */
  running: Frozen;
  /** What a web server on this port of the host serves: `to` is what it offers. */
  served: string;
  port: number;
  from: Commit;
  to: Commit;
}

/**
 * Upgrades a machine, and keeps in `directory` what is needed to do it again from each stage on. What makes the guest begin
 * is a file on the web server that it waits for, so that nothing but itself is busy then. Throws where the upgrade fails.
 */
export async function rehearse(directory: string, rehearsal: Rehearsal): Promise<Rehearsed> {
  const { running, served, port, from, to } = rehearsal;
  const { machine } = running;
  const url = `http://10.0.2.2:${port}`;
  const lengths = new Map<string, number>();
  await mkdir(directory, { recursive: true });
  const place = async (name: string): Promise<string> => {
    await mkdir(join(directory, name));
    return join(directory, name);
  };
  const onSign = async (vm: Vm, sign: string, commands: string): Promise<void> => {
    const wait = `until wget -q -O /dev/null ${url}/${sign}; do usleep 200000; done 2>/dev/null`;
    await vm.sshText(
      `setsid sh -c '${wait}; { ${commands}; } >/dev/console 2>&1' </dev/null >/dev/null 2>&1 &`,
    );
  };

  const before = await place('before');
  const first = await resumeFreezable(running, before);
  await setClock(first);
  await onSign(
    first,
    'upgrade',
    `echo ${upgradeBegins}; treeline upgrade --url ${url}; echo faults: upgrade ends with $?`,
  );
  const upgrade = await freeze(first, before, machine);
  await writeFile(join(served, 'upgrade'), '');

  const after = await place('after');
  const second = await resumeFreezable(upgrade, after);
  const exitCode = await measure(
    second,
    'upgrade',
    lengths,
    async () => (await second.waitFor(upgradeEnds))[1],
  );
  if (exitCode !== '0') throw new Error(`the upgrade fails:\n${second.output}`);
  await onSign(second, 'shutdown', `echo ${shutdownBegins}; reboot`);
  const shutdown = await freeze(second, after, machine);
  await writeFile(join(served, 'shutdown'), '');

  const restarted = diskIn(await place('restarted'));
  const third = await resume(shutdown, restarted);
  await measure(third, 'shutdown', lengths, () => third.waitExit());

  const trial = diskIn(await place('trial'));
  await diskOver(restarted, trial);
  const fourth = await powerOn(trial, machine);
  // A little longer: what it does after it has said so belongs to it.
  await measure(fourth, 'first start', lengths, () => fourth.waitFor(saysHealth).then(() => sleep(1000)));
  const version = await fourth.sshText('treeline version');
  await fourth.kill();
  if (version !== to.version) throw new Error(`${version} runs after the upgrade, not ${to.version}`);
  return { machine, url, from, to, lengths, states: { upgrade, shutdown, 'first start': restarted } };
}

/** Notes how long each phase of a machine takes that was just started from a state; `end`: of the last one. */
async function measure<T>(
  vm: Vm,
  state: Phase['from'],
  lengths: Map<string, number>,
  end: () => Promise<T>,
): Promise<T> {
  let [name, began] = ['', performance.now()];
  const ends = (): void => {
    if (name !== '') lengths.set(name, performance.now() - began);
    began = performance.now();
  };
  for (const phase of phases.filter(({ from }) => from === state)) {
    if (phase.begins !== undefined) await vm.waitFor(phase.begins);
    ends();
    ({ name } = phase);
  }
  const result = await end();
  ends();
  return result;
}

export interface Outcome {
  point: Point;
  /** Milliseconds from the beginning of the phase to the cut. */
  moment: number;
  /** What ran afterwards; undefined where nothing did. */
  runs: 'old' | 'new' | undefined;
  /** Starts that it took until something ran. */
  starts: number;
  /** Sentences; none where all is well. */
  problems: string[];
}

/**
 * Cuts the power at a point, and looks at what the machine makes of it: its disk, as it is; whether it starts, and with
 * what; and whether it takes the upgrade then. `disk`: QCOW2, made; as it was when the power went.
 */
export async function cutPower(rehearsed: Rehearsed, point: Point, disk: string): Promise<Outcome> {
  const moment = (rehearsed.lengths.get(point.phase.name) ?? 0) * point.fraction;
  await runUntil(rehearsed, point.phase, disk, moment);
  return { point, moment, ...(await recover(rehearsed, disk)) };
}

async function runUntil(
  { states, machine }: Rehearsed,
  { from, begins }: Phase,
  disk: string,
  moment: number,
): Promise<void> {
  const start = async (): Promise<Vm> => {
    if (from !== 'first start') return resume(states[from], disk);
    await diskOver(states[from], disk);
    return powerOn(disk, machine);
  };
  const vm = await start();
  try {
    if (begins !== undefined) await vm.waitFor(begins);
    await sleep(moment);
  } finally {
    await vm.kill();
  }
}

/** What follows a loss of power. `disk` stays as it is. */
export async function recover(
  { machine, url, from, to }: Pick<Rehearsed, 'machine' | 'url' | 'from' | 'to'>,
  disk: string,
): Promise<Pick<Outcome, 'runs' | 'starts' | 'problems'>> {
  const problems = (await inspect(disk)).problems.map((problem) => `after the cut: ${problem}`);
  const started = `${disk}.started`;
  await diskOver(disk, started);
  try {
    const { vm, starts } = await startUntilUp(started, machine);
    try {
      const version = await vm.sshText('treeline version');
      const runs = version === from.version ? 'old' : version === to.version ? 'new' : undefined;
      if (runs === undefined) problems.push(`version ${version} runs`);
      const { exitCode, stdout, stderr } = await vm.ssh(`treeline upgrade --url ${url} && sync`, {
        timeoutMs: 300_000,
      });
      if (exitCode !== 0) problems.push(`the upgrade afterwards fails (${exitCode}): ${stdout}${stderr}`);
      await vm.kill();
      const { deployed, problems: more } = await inspect(started);
      problems.push(...more.map((problem) => `after the upgrade: ${problem}`));
      if (deployed[0] !== to.id) problems.push(`after the upgrade, ${deployed[0]} starts next`);
      return { runs, starts, problems };
    } finally {
      await vm.kill();
    }
  } catch (error) {
    return { runs: undefined, starts: 0, problems: [...problems, (error as Error).message] };
  } finally {
    await execa('rm', ['-f', started]);
  }
}

/** `disk`: of any format; it stays as it is. */
export async function inspect(disk: string): Promise<DiskReport> {
  const raw = `${disk}.raw`;
  try {
    await rawDisk(disk, raw);
    return await inspectDisk(raw);
  } finally {
    await execa('rm', ['-f', raw]);
  }
}
