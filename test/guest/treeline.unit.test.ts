import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { busybox, busyboxInstalled, commonRootfs, debianRootfs, library, withLibrary } from './busybox.ts';

const reason = '(skipped where busybox is not installed)';
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'treeline-guest-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe.skipIf(!busyboxInstalled)(`the command line of treeline ${reason}`, () => {
  const treeline = (...args: string[]) =>
    busybox(['sh', join(commonRootfs, 'usr/bin/treeline'), ...args], { env: { TREELINE_LIBRARY: library } });

  it('explains itself', () => {
    for (const args of [[], ['help'], ['--help']]) {
      const { status, stdout } = treeline(...args);
      expect(status).toBe(0);
      expect(stdout).toMatch(/^usage: treeline COMMAND\n/);
    }
  });

  it('refuses what it does not know with exit code 2', () => {
    expect(treeline('upgrad')).toMatchObject({
      status: 2,
      stderr: 'treeline: there is no command upgrad; see: treeline help\n',
    });
    expect(treeline('status', '--jsno')).toMatchObject({ status: 2 });
    expect(treeline('rollback', 'now')).toMatchObject({ status: 2 });
    expect(treeline('version', 'now')).toMatchObject({ status: 2 });
  });
});

describe.skipIf(!busyboxInstalled)(`what treeline reads from ostree admin status ${reason}`, () => {
  const commit = (letter: string): string => letter.repeat(64);
  const statusText = [
    `  treeline ${commit('b')}.1 (pending)`,
    '    Version: 20251111.0',
    '    origin refspec: treeline:treeline/debian-12/x86_64/vm',
    `* treeline ${commit('a')}.0`,
    '    Version: 20251104.0',
    '    origin refspec: treeline:treeline/debian-12/x86_64/vm',
    '    GPG: Good signature from "Treeline"',
    `  other ${commit('d')}.0`,
    '    Version: 9',
    `  treeline ${commit('c')}.0 (rollback)`,
    '    origin refspec: treeline:treeline/debian-12/x86_64/vm',
  ].join('\n');
  const ask = (lines: string) =>
    withLibrary(['common'], `ostree() { [ "$*" = 'admin status' ] || exit 9; cat "$STATUS"; }\n${lines}`, {
      STATUS: join(directory, 'status'),
    });
  beforeEach(() => writeFileSync(join(directory, 'status'), `${statusText}\n`));

  it('lists our deployments with their index among all, and the version where there is one', () => {
    expect(ask('deployments').stdout.split('\n')).toEqual([
      `0 ${commit('b')} 1 no 20251111.0`,
      `1 ${commit('a')} 0 yes 20251104.0`,
      `3 ${commit('c')} 0 no -`,
      '',
    ]);
  });

  it('tells apart what starts next, what runs, and what was before', () => {
    expect(ask('pick_deployment first').stdout).toMatch(/^0 b/);
    expect(ask('pick_deployment running').stdout).toMatch(/^1 a/);
    expect(ask('pick_deployment other').stdout).toMatch(/^3 c/);
  });
});

describe.skipIf(!busyboxInstalled)(`rotate-logs ${reason}`, () => {
  const rotate = (log: string) =>
    busybox(['sh', join(debianRootfs, 'usr/lib/treeline/rotate-logs'), log], {
      env: { TREELINE_LOG_LIMIT: '10', TREELINE_LOG_KEEP: '2' },
    });

  it('leaves a log below the limit alone', () => {
    const log = join(directory, 'messages');
    writeFileSync(log, 'short');
    expect(rotate(log)).toMatchObject({ status: 0, stderr: '' });
    expect(readdirSync(directory)).toEqual(['messages']);
  });

  it('renames one above it, and drops the oldest', () => {
    const log = join(directory, 'messages');
    for (const round of ['first', 'second', 'third']) {
      writeFileSync(log, `${round} ${'.'.repeat(20)}`);
      expect(rotate(log)).toMatchObject({ status: 0, stderr: '' });
    }
    expect(readdirSync(directory).toSorted()).toEqual(['messages.1', 'messages.2']);
    expect(readFileSync(`${log}.1`, 'utf8')).toMatch(/^third/);
    expect(readFileSync(`${log}.2`, 'utf8')).toMatch(/^second/);
  });
});
