import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { busyboxInstalled, targetRootfs } from './busybox.ts';

const script = join(targetRootfs('vm'), 'usr/lib/treeline/initramfs/deadline');
let root: string;
let running: ReturnType<typeof spawn>;
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

/** Ordinary files stand in for the watchdogs and the kernel's keys. */
const start = (seconds: number): void => {
  running = spawn('busybox', ['sh', script, String(seconds)], {
    stdio: 'ignore',
    env: { PATH: '/usr/bin:/bin', TREELINE_ROOT: root },
  });
};
const stop = async (): Promise<number | null> => {
  const ended = once(running, 'exit') as Promise<[number | null]>;
  running.kill('SIGTERM');
  return (await ended)[0];
};

describe.skipIf(!busyboxInstalled)(
  'the deadline of a machine that starts (skipped where busybox is not installed)',
  () => {
    beforeEach(() => {
      root = mkdtempSync(join(tmpdir(), 'treeline-deadline-'));
      for (const directory of ['dev', 'proc', 'run/treeline'])
        mkdirSync(join(root, directory), { recursive: true });
      for (const file of ['dev/watchdog0', 'dev/console', 'proc/sysrq-trigger'])
        writeFileSync(join(root, file), '');
    });
    afterEach(() => {
      if (running.exitCode === null) running.kill('SIGKILL');
      rmSync(root, { recursive: true, force: true });
    });

    it('feeds the watchdog, and stops it when it is ended', async () => {
      start(600);
      await expect.poll(() => read('dev/watchdog0')).toBe('.\n');
      expect(await stop()).toBe(0);
      expect(read('dev/watchdog0')).toBe('.\nV\n');
      expect(read('proc/sysrq-trigger')).toBe('');
    });

    it('goes on where the initramfs and its paths are gone, and finds watchdogs that come later', async () => {
      start(600);
      await expect.poll(() => read('dev/watchdog0')).toBe('.\n');
      expect(readdirSync(join(root, 'run/treeline'))).toEqual([]);
      renameSync(join(root, 'dev'), join(root, 'moved'));
      rmSync(join(root, 'run'), { recursive: true });
      writeFileSync(join(root, 'moved/watchdog1'), '');
      await expect.poll(() => read('moved/watchdog1'), { timeout: 50_000 }).toBe('.\n');
      expect(await stop()).toBe(0);
      expect(read('moved/watchdog0')).toMatch(/^(\.\n)+V\n$/);
      expect(read('moved/watchdog1')).toMatch(/^(\.\n)+V\n$/);
    });

    it('does without a watchdog, and without one that cannot be opened', async () => {
      rmSync(join(root, 'dev/watchdog0'));
      mkdirSync(join(root, 'dev/watchdog0'));
      start(600);
      writeFileSync(join(root, 'dev/watchdog2'), '');
      await expect.poll(() => read('dev/watchdog2'), { timeout: 50_000 }).toBe('.\n');
      expect(await stop()).toBe(0);
    });

    it('restarts the machine at the end, writes down what it can before, and cannot be ended any more', async () => {
      start(1);
      await expect
        .poll(() => read('dev/console'), { timeout: 50_000 })
        .toBe('treeline: not up after 1 seconds: starting again\n');
      running.kill('SIGTERM');
      await expect.poll(() => read('proc/sysrq-trigger'), { timeout: 50_000 }).toBe('s\nb\n');
      expect(read('dev/watchdog0')).not.toContain('V');
      expect(running.exitCode).toBe(null);
    });
  },
);
