import { mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import type { Vm } from '../helpers/qemu.ts';
import { startVm } from '../helpers/qemu.ts';
import { partitionsOf } from './disk-check.ts';
import { diskIn, diskOver, rawDisk } from './disks.ts';
import { goingOn, setClock } from './frozen.ts';
import type { Rehearsal } from './power-cuts.ts';
import { seededRandom } from './random.ts';
import { saysHealth } from './start.ts';
import type { Loss, WriteLog } from './write-log.ts';
import { applyRequests, loggedDisk, losses, readWriteLog, survivors } from './write-log.ts';

/** All that a disk was told during an upgrade and the first start of the new version. */
export interface Recording {
  /** Raw; the disk before all of it. */
  base: string;
  /** One a power-on of the machine. */
  logs: WriteLog[];
  /** Requests, of both logs together, before the upgrade began. */
  began: number;
  /** Those that write to the partition /boot, by their place in both logs. */
  toBoot: number[];
}

/** A moment at which the power goes, and what becomes of the writes that the disk had not been told to flush. */
export interface LossPoint {
  number: number;
  /** How many requests had come. */
  count: number;
  loss: Loss;
  seed: number;
}

/** Upgrades a machine and starts the new version, with a disk that notes everything. Throws where that fails. */
export async function recordUpgrade(directory: string, { running, port, to }: Rehearsal): Promise<Recording> {
  await mkdir(directory);
  const base = join(directory, 'base.img');
  await rawDisk(running.disk, base);
  const disk = diskIn(directory);
  await diskOver(base, disk);
  const logFile = (number: number): string => join(directory, `writes-${number}`);
  const start = async (number: number, extraArgs: readonly string[] = []): Promise<Vm> => {
    await writeFile(logFile(number), '');
    return startVm({
      ...running.machine,
      extraArgs: [...loggedDisk(disk, logFile(number)), ...extraArgs],
    });
  };

  const old = await start(0, goingOn(running.state));
  await setClock(old);
  const { size } = await stat(logFile(0));
  const { exitCode, stdout, stderr } = await old.ssh(`treeline upgrade --url http://10.0.2.2:${port}`, {
    timeoutMs: 300_000,
  });
  if (exitCode !== 0) throw new Error(`the upgrade fails: ${stdout}${stderr}`);
  await old.ssh('reboot');
  await old.waitExit();
  const fresh = await start(1);
  await fresh.waitFor(saysHealth);
  const version = await fresh.sshText('treeline version; sync');
  if (version !== to.version) throw new Error(`${version} runs, not ${to.version}`);
  await sleep(500);
  await fresh.kill();

  const logs = await Promise.all(
    [0, 1].map(async (number) => readWriteLog(logFile(number), (await stat(logFile(number))).size)),
  );
  const { boot } = await partitionsOf(base);
  const all = logs.flatMap(({ requests }) => requests);
  return {
    base,
    logs,
    began: readWriteLog(logFile(0), size).requests.length,
    toBoot: all.flatMap(({ kind, offset }, index) =>
      kind === 'write' && offset >= boot.offset && offset < boot.offset + boot.bytes ? [index] : [],
    ),
  };
}

/** The same seed and recording give the same points. Every other one lies beside a write to /boot, where it is most dangerous. */
export function planLosses({ logs, began, toBoot }: Recording, seed: number, count: number): LossPoint[] {
  const random = seededRandom(seed);
  const total = logs.reduce((sum, { requests }) => sum + requests.length, 0);
  const critical = toBoot.filter((index) => index >= began);
  return Array.from({ length: count }, (_, index) => ({
    number: index + 1,
    count:
      index % 2 === 0 || critical.length === 0
        ? began + random.below(total - began + 1)
        : random.pick(critical) + random.below(3),
    loss: losses[index % losses.length]!,
    seed: random.below(2 ** 31),
  }));
}

/** Makes the disk (raw) as it is after a point. The file systems of an earlier power-on had been flushed when that ended. */
export async function diskAfter({ base, logs }: Recording, point: LossPoint, disk: string): Promise<void> {
  await execa('cp', ['--sparse=always', base, disk]);
  let left = point.count;
  for (const log of logs) {
    const count = Math.min(left, log.requests.length);
    left -= count;
    const isLast = left === 0;
    const loss = isLast ? point.loss : 'nothing is lost';
    const random = seededRandom(point.seed);
    applyRequests(log.file, survivors(log.requests, { count, loss, random }), disk);
    if (isLast) return;
  }
}
