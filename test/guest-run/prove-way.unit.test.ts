import { mkdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { TreelineError } from '../../src/host/errors.ts';
import { openLog, silentLog } from '../../src/host/log.ts';
import type { Manifest } from '../../src/model.ts';
import { GuestConsole } from '../../src/prove/console.ts';
import type { Guest, GuestOutput } from '../../src/prove/guest.ts';
import { goThere } from '../../src/prove/way.ts';
import { errorOf, temporaryDirectory, temporaryHost } from '../helpers/host.ts';
import { manifestOf } from '../helpers/manifest.ts';

const manifest = (version: string): Manifest => manifestOf({ version, commit: `commit of ${version}` });
const [old, next] = [manifest('20260109.0'), manifest('20260110.0')];

/** A system that does what an image promises, in words only; tests replace parts of it. */
class PretendedGuest implements Guest {
  readonly console = new GuestConsole(silentLog);
  readonly updateUrl = 'http://192.0.2.1:8000';
  readonly commands: string[] = [];
  running = old;
  first = old;
  checks = true;
  verdict = (): string => 'health: good';
  kept = true;
  upgradeExitCode = 0;
  #token = '';

  async start(): Promise<void> {
    this.running = this.first;
    this.console.add('\u001B[1mtreeline: default runlevel reached, 0 services failed\r\n');
    if (this.checks) this.console.add(`login: treeline: ${this.verdict()}\n`);
  }

  restart(): Promise<void> {
    return this.start();
  }

  async run(command: string): Promise<GuestOutput> {
    this.commands.push(command);
    const said = (output: string, exitCode = 0): GuestOutput => ({ output, exitCode });
    const [, token] = /^echo (\S+) >\/etc\//.exec(command) ?? [];
    if (token !== undefined) {
      this.#token = token;
      return said('');
    }
    if (command === 'test -x /usr/lib/treeline/check-boot') return said('', this.checks ? 0 : 1);
    if (command === `treeline upgrade --url ${this.updateUrl}`) {
      this.first = next;
      return said('treeline: downloading\ntreeline: version is ready', this.upgradeExitCode);
    }
    if (command === 'rc-service --ifstarted auto-upgrade stop') return said('no such service', 1);
    if (command === 'treeline rollback') {
      this.first = old;
      return said('treeline: rolled back');
    }
    if (command === 'treeline status --json') {
      const deployments = [old, next].map((one) => ({ commit: one.commit, running: one === this.running }));
      return said(JSON.stringify({ ref: 'x', deployments, more: true }));
    }
    if (command.startsWith('cat /')) return said(this.kept ? this.#token : 'something else');
    throw new Error(`nobody told the pretended guest of ${command}`);
  }

  ended(): Promise<string> {
    return new Promise(() => {});
  }

  async remove(): Promise<void> {}
}

const way = (guest: Guest, timeout = 60) => {
  const host = temporaryHost();
  return { host, done: goThere(guest, { host, from: old, to: next, timeout }) };
};

/** Which step fails, and why. */
async function failureOf(guest: Guest): Promise<{ step: string | undefined; message: string }> {
  const { host, done } = way(guest);
  const { message } = await errorOf(done);
  const failed = host.events.find((event) => event.type === 'stage-failed');
  return { step: failed?.stage, message };
}

describe('the way to a release and back', () => {
  it('starts, upgrades, restarts, rolls back and returns, each as a stage', async () => {
    const guest = new PretendedGuest();
    const { host, done } = way(guest);
    await done;
    expect(host.times.map(({ stage }) => stage)).toEqual([
      'start',
      'upgrade',
      'restart',
      'rollback',
      'return',
    ]);
    const ends = host.events.flatMap((event) => (event.type === 'stage-end' ? [event.detail] : []));
    expect(ends).toEqual([
      '20260109.0 runs, healthy',
      'version is ready',
      '20260110.0 runs, healthy',
      'rolled back',
      '20260109.0 runs, healthy',
    ]);
  });

  it('asks a version without health checks for its services only', async () => {
    const guest = new PretendedGuest();
    guest.checks = false;
    const { host, done } = way(guest);
    await done;
    const [first] = host.events.flatMap((event) => (event.type === 'stage-end' ? [event.detail] : []));
    expect(first).toBe('20260109.0 runs, all services started (it has no health checks)');
  });

  it('fails where a health check does', async () => {
    const guest = new PretendedGuest();
    guest.verdict = () => (guest.running === next ? 'health: failed: network var' : 'health: good');
    expect(await failureOf(guest)).toEqual({ step: 'restart', message: 'health: failed: network var' });
  });

  it('fails where the machine fell back', async () => {
    const guest = new PretendedGuest();
    guest.verdict = () =>
      guest.running === next ? 'health: fell back from 20260110.0: it did not start' : 'health: good';
    expect(await failureOf(guest)).toEqual({
      step: 'restart',
      message: 'health: fell back from 20260110.0: it did not start',
    });
  });

  it('fails where another commit runs than the one that should', async () => {
    const guest = new PretendedGuest();
    guest.restart = () => {
      guest.first = old;
      return guest.start();
    };
    expect(await failureOf(guest)).toEqual({
      step: 'restart',
      message: 'commit commit of 20260109.0 runs, not commit of 20260110.0 (20260110.0)',
    });
  });

  it('fails where /etc was not kept', async () => {
    const guest = new PretendedGuest();
    guest.kept = false;
    expect(await failureOf(guest)).toEqual({
      step: 'restart',
      message: '/etc/treeline-prove.kept was not kept',
    });
  });

  it('fails where the upgrade does, with what it said', async () => {
    const guest = new PretendedGuest();
    guest.upgradeExitCode = 1;
    const { done } = way(guest);
    expect(await errorOf(done)).toMatchObject({
      message: `"treeline upgrade --url ${guest.updateUrl}" ended with exit code 1`,
      output: expect.stringContaining('downloading'),
    });
  });

  it('fails where the guest ends before it has said how it is', async () => {
    const guest = new PretendedGuest();
    let end: (reason: string) => void = () => {};
    const ended = new Promise<string>((resolve) => {
      end = resolve;
    });
    guest.ended = () => ended;
    guest.restart = async () => end('it restarted or switched itself off');
    expect(await failureOf(guest)).toEqual({
      step: 'restart',
      message: 'it ended before it said that it is healthy: it restarted or switched itself off',
    });
  });

  it('fails where a step takes longer than it may', async () => {
    const guest = new PretendedGuest();
    guest.restart = async () => {};
    const { done } = way(guest, 1);
    expect(await errorOf(done)).toMatchObject({
      message: 'it did not end within 1 s',
      hint: expect.stringContaining('--timeout'),
    });
  });

  it('ends when the user stops it', async () => {
    const guest = new PretendedGuest();
    const stopped = new Promise<void>((resolve) => {
      guest.restart = async () => resolve();
    });
    const { host, done } = way(guest);
    void stopped.then(() => host.stop());
    expect(await errorOf(done)).toMatchObject({ code: 'cancelled' });
  });
});

describe('a guest’s console', () => {
  it('is kept line by line with times, without escape sequences, and its end is known', async () => {
    const directory = temporaryDirectory();
    mkdirSync(directory, { recursive: true });
    const path = join(directory, 'console.log');
    const log = openLog(path);
    const console = new GuestConsole(log);
    for (const part of ['\u001B[1;3', '2mone\u001B[0m\r\nt', 'wo\n\n', 'thr']) console.add(part);
    expect(await readFile(path, 'utf8')).toMatch(/^ +\d+\.\d{3} one\n +\d+\.\d{3} two\n +\d+\.\d{3} \n$/);
    expect(console.tail).toEqual(['one', 'two', 'thr']);
    log.close();
  });

  it('gives each line once, and forgets those of an earlier start', async () => {
    const console = new GuestConsole(silentLog);
    const { signal } = new AbortController();
    console.add('mark 1\nmark 2\n');
    expect((await console.waitFor(/mark (\d)/, signal))[1]).toBe('1');
    console.skip();
    const third = console.waitFor(/mark (\d)/, signal);
    console.add('other\nmark');
    console.add(' 3\n');
    expect((await third)[1]).toBe('3');
  });

  it('is waited for until the signal says no', async () => {
    const stop = new AbortController();
    const waiting = new GuestConsole(silentLog).waitFor(/never/, stop.signal);
    stop.abort(new TreelineError('cancelled', 'enough'));
    expect((await errorOf(waiting)).message).toBe('enough');
  });
});
