import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { busyboxInstalled, withLibrary } from './busybox.ts';

const reason = '(skipped where busybox is not installed)';

describe.skipIf(!busyboxInstalled)(`hooks ${reason}`, () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'treeline-hooks-'));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  const hook = (path: string, lines: string, mode = 0o755): void => {
    const file = join(directory, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, `#!/bin/sh\n${lines}\n`);
    chmodSync(file, mode);
  };
  const run = (event: string, lines = '') =>
    withLibrary(
      ['common', 'hooks'],
      `hook_directories='${directory}/usr ${directory}/etc'\n${lines}\nrun_hooks ${event}; echo "= $?"`,
    );

  it('are none at first', () => {
    expect(run('before-upgrade')).toEqual({ status: 0, stdout: '= 0\n', stderr: '' });
  });

  it('run by their names, whatever directory they are in, and those of another event do not', () => {
    hook('etc/before-upgrade.d/20-second', 'echo second');
    hook('usr/before-upgrade.d/10-first', 'echo first');
    hook('usr/before-upgrade.d/30-third', 'echo third');
    hook('usr/after-upgrade.d/15-other', 'echo other');
    expect(run('before-upgrade').stdout).toBe('first\nsecond\nthird\n= 0\n');
  });

  it('of the machine replace those of the image with the same name', () => {
    hook('usr/before-upgrade.d/10-x', 'echo image');
    hook('etc/before-upgrade.d/10-x', 'echo machine');
    expect(run('before-upgrade').stdout).toBe('machine\n= 0\n');
  });

  it('are executables only', () => {
    hook('etc/before-upgrade.d/README', 'echo no', 0o644);
    mkdirSync(join(directory, 'etc/before-upgrade.d/directory'), { recursive: true });
    expect(run('before-upgrade').stdout).toBe('= 0\n');
  });

  it('know the event, the version and the result', () => {
    hook('etc/after-upgrade.d/10-x', 'echo "$TREELINE_EVENT,$TREELINE_VERSION,$TREELINE_RESULT"; cat');
    expect(run('after-upgrade').stdout).toBe('after-upgrade,,\n= 0\n');
    expect(run('after-upgrade', 'TREELINE_VERSION=7 TREELINE_RESULT=ready').stdout).toBe(
      'after-upgrade,7,ready\n= 0\n',
    );
  });

  it('of before-… end it with the first that fails, by name', () => {
    hook('etc/before-reboot.d/10-busy', 'exit 5');
    hook('etc/before-reboot.d/20-next', 'echo next');
    expect(run('before-reboot')).toEqual({
      status: 0,
      stdout: '= 1\n',
      stderr: `treeline: the hook ${directory}/etc/before-reboot.d/10-busy is against it (exit code 5)\n`,
    });
  });

  it('of after-… all run, and a failure is only told', () => {
    hook('etc/after-boot.d/10-fails', 'exit 5');
    hook('etc/after-boot.d/20-next', 'echo next');
    expect(run('after-boot')).toEqual({
      status: 0,
      stdout: 'next\n= 0\n',
      stderr: `treeline: the hook ${directory}/etc/after-boot.d/10-fails has failed (exit code 5)\n`,
    });
  });

  it('are ended when their time is over', () => {
    hook('etc/before-upgrade.d/10-slow', 'exec sleep 60');
    const { stdout, stderr } = run('before-upgrade', 'TREELINE_HOOK_SECONDS=1');
    expect(stdout).toBe('= 1\n');
    expect(stderr).toContain('10-slow is against it (not done after 1 seconds, or killed)');
  });
});
