import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Event } from '../../src/host/events.ts';
import { withinScope } from '../../src/host/host.ts';
import { knownNamesHint, nearestName } from '../../src/host/nearest.ts';
import { findMissing, isInstalled, missingToolError, packageManager, tools } from '../../src/host/tools.ts';
import { openWorkspace } from '../../src/host/workspace.ts';
import { errorOf, temporaryHost } from '../helpers/host.ts';

describe('near names', () => {
  const known = ['sshd', 'web', 'chronyd', 'build', 'build-update'];

  it.each([
    ['shsd', 'sshd'],
    ['ssh', 'sshd'],
    ['weeb', 'web'],
    ['chrony', 'chronyd'],
    ['build-updaet', 'build-update'],
  ])('takes %s for %s', (typed, meant) => {
    expect(nearestName(typed, known)).toBe(meant);
  });

  it('guesses nothing for a name that is like none', () => {
    expect(nearestName('postgresql', known)).toBeUndefined();
    expect(nearestName('x', [])).toBeUndefined();
  });

  it('guesses nothing where nothing was typed', () => {
    expect(nearestName('', known)).toBeUndefined();
  });

  it('lists all that exists, sorted, behind the guess', () => {
    expect(knownNamesHint('shsd', ['web', 'sshd'])).toBe('Did you mean sshd? Known: sshd, web.');
    expect(knownNamesHint('postgresql', ['web', 'sshd'])).toBe('Known: sshd, web.');
    expect(knownNamesHint('web', [])).toBe('There are none.');
  });
});

describe('tools', () => {
  it('finds programs on the fixed PATH alone', () => {
    expect(isInstalled('sh')).toBe(true);
    expect(isInstalled('treeline-no-such-tool')).toBe(false);
  });

  it('names the packages of several missing programs at once, for this machine’s package manager', () => {
    const error = missingToolError(['mke2fs', 'bwrap']);
    expect(error.message).toBe('Cannot run mke2fs, bwrap: not installed on this machine');
    const install = packageManager() === 'apk' ? 'apk add' : 'apt-get install';
    expect(error.hint).toBe(`Run ./scripts/setup, or: ${install} e2fsprogs bubblewrap`);
  });

  it('names every program once, with a package for both package managers', () => {
    expect(new Set(tools.map((tool) => tool.program)).size).toBe(tools.length);
    expect(tools.every((tool) => tool.apt !== '' && tool.apk !== '')).toBe(true);
  });

  it('asks for nothing where no purpose is named', () => {
    expect(findMissing([])).toEqual({ names: [], packages: [] });
  });
});

describe('the workspace', () => {
  it('keeps state in .treeline, results in out', () => {
    const workspace = openWorkspace('/srv/project');
    expect(workspace).toEqual({
      root: '/srv/project',
      settingsFile: '/srv/project/treeline.yaml',
      output: '/srv/project/out',
      state: '/srv/project/.treeline',
      repository: '/srv/project/.treeline/repo',
      cache: '/srv/project/.treeline/cache',
      keys: '/srv/project/.treeline/keys',
      logs: '/srv/project/.treeline/logs',
      temporary: '/srv/project/.treeline/tmp',
      lockFile: '/srv/project/.treeline/lock',
    });
  });

  it('takes both directories relative to the current one', () => {
    const workspace = openWorkspace('project', 'results');
    expect(workspace.repository).toBe(join(resolve('project'), '.treeline/repo'));
    expect(workspace.output).toBe(resolve('results'));
  });
});

describe('stages', () => {
  const types = (events: readonly Event[]): string[] =>
    events.map((event) => ('stage' in event ? `${event.type} ${event.stage}` : event.type));

  it('tell their start, their end with the outcome, and their time', async () => {
    const host = temporaryHost();
    const result = await host.stage(
      'tree',
      async () => 42,
      (n) => ({ reused: true, detail: `${n} files` }),
    );
    expect(result).toBe(42);
    expect(types(host.events)).toEqual(['stage-start tree', 'stage-end tree']);
    expect(host.events[1]).toMatchObject({ reused: true, detail: '42 files' });
    expect(host.times).toEqual([{ stage: 'tree', seconds: expect.any(Number), reused: true }]);
  });

  it('tell that they failed, and let the error through', async () => {
    const host = temporaryHost();
    await expect(host.stage('tree', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(types(host.events)).toEqual(['stage-start tree', 'stage-failed tree']);
    expect(host.times).toEqual([]);
  });

  it('do not begin once the user stopped the command', async () => {
    const host = temporaryHost();
    host.stop();
    expect((await errorOf(host.stage('tree', async () => 1))).code).toBe('cancelled');
    expect(host.events).toEqual([]);
  });

  it('are named by their scope, and timed apart from those of other scopes', async () => {
    const host = temporaryHost();
    const vm = withinScope(host, 'vm');
    await vm.stage('tree', async () => {
      vm.emit({ type: 'stage-progress', stage: 'tree', done: 1, total: 2, unit: 'packages' });
      vm.emit({ type: 'note', text: 'hello' });
    });
    expect(types(host.events)).toEqual([
      'stage-start vm tree',
      'stage-progress vm tree',
      'note',
      'stage-end vm tree',
    ]);
    expect(vm.times.map((time) => time.stage)).toEqual(['tree']);
    expect(host.times).toEqual([]);
  });
});
