import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { boxNote, boxSkipped, sleepers } from './box.ts';
import { commonRootfs } from './busybox.ts';
import {
  badCommits,
  box,
  checkBoot,
  console,
  deployed,
  failing,
  good,
  happened,
  newCommit,
  next,
  old,
  oldCommit,
  onTrial,
  otherCommit,
  result,
  trialFile,
  trialOfBoot,
  useBox,
} from './check-boot-box.ts';

useBox();

describe.skipIf(boxSkipped)(`check-boot after a version on trial was given up${boxNote}`, () => {
  beforeEach(() => {
    good();
    box.deploy(next, { ...old, running: true });
    onTrial(newCommit);
  });

  it('remembers it, undeploys it, and says so', () => {
    checkBoot();
    expect(badCommits()).toMatch(new RegExp(`^${newCommit} 2 \\d+ it did not start\n$`));
    expect(deployed()).toBe(`* ${oldCommit} 1\n`);
    expect(box.read('run/ostree-calls')).toContain(`--force ${oldCommit}\nadmin undeploy 0\n`);
    expect(box.read(trialFile)).toBe('');
    expect(console()).toBe('treeline: health: fell back from 2: it did not start\n');
    expect(result()).toMatchObject({
      result: 'fell-back',
      commit: newCommit,
      version: '2',
      reason: 'it did not start',
      failed: '',
    });
    expect(happened()).toBe('hooks after-boot 1 fell-back\nrelease\n');
  });

  it('does not take it for bad where the boot loader had an old list of entries, in which it was not', () => {
    box.write('boot/grub/grub.cfg', '');
    box.write('run/cmdline', 'root=x ostree=/ostree/boot.0/treeline/f00/0 panic=10\n');
    box.write('run/entries/ostree-2-treeline.conf', 'options root=x ostree=/ostree/boot.1/treeline/f00/0\n');
    box.write('run/entries/ostree-1-treeline.conf', 'options root=x ostree=/ostree/boot.1/treeline/f00/1\n');
    const places = 'kernel_command_line=/run/cmdline boot_entries=/run/entries';
    checkBoot(places);
    expect(badCommits()).toBe('');
    expect(deployed()).toBe(`  ${newCommit} 2\n* ${oldCommit} 1\n`);
    expect(box.read(trialFile)).toBe(`${newCommit} 0\n`);
    expect(console()).toBe('treeline: health: good\n');
    expect(result()).toMatchObject({ result: 'good', commit: oldCommit });
    // Nobody waits for a verdict on it in this boot.
    expect(box.read(trialOfBoot)).toBe('');
  });

  it('takes it for bad where the boot loader gave it up, and had the list of today', () => {
    box.write('boot/grub/grub.cfg', '');
    box.write('run/cmdline', 'root=x ostree=/ostree/boot.1/treeline/f00/1 panic=10\n');
    box.write('run/entries/ostree-1-treeline.conf', 'options root=x ostree=/ostree/boot.1/treeline/f00/1\n');
    checkBoot('kernel_command_line=/run/cmdline boot_entries=/run/entries');
    expect(badCommits()).toContain('it did not start');
  });

  it('knows the reason where a check had failed', () => {
    const record = ['result=failed', `commit=${newCommit}`, 'version=2', 'reason=ssh: "no" answer\\n'];
    box.write('var/lib/treeline/boot-result', `${record.join('\n')}\n`);
    checkBoot();
    expect(badCommits()).toMatch(/ ssh: "no" answer\\n\n$/);
    expect(console()).toBe('treeline: health: fell back from 2: ssh: "no" answer\\n\n');
  });

  it('takes no other version’s reason', () => {
    box.write('var/lib/treeline/boot-result', `result=failed\ncommit=${oldCommit}\nreason=ssh\n`);
    checkBoot();
    expect(badCommits()).toContain('it did not start');
  });

  it('reports it also where the system that it returned to is not well', () => {
    failing();
    checkBoot();
    expect(console()).toBe(
      'treeline: health: fell back from 2: it did not start\ntreeline: health: failed: broken\n',
    );
    expect(result()).toMatchObject({ result: 'fell-back', failed: 'broken' });
    expect(happened()).toBe('');
  });

  it('changes nothing where that cannot be remembered', () => {
    box.sh('rm -r /var/lib/treeline');
    box.write('var/lib/treeline', 'in the way');
    checkBoot();
    expect(deployed()).toBe(`  ${newCommit} 2\n* ${oldCommit} 1\n`);
    expect(box.read(trialFile)).toBe(`${newCommit} 0\n`);
    expect(console()).toBe('treeline: health: good\n');
  });

  it('does the rest at the next boot where it could not undeploy, and remembers it once', () => {
    box.write('run/undeploy-fails', '');
    checkBoot();
    expect(box.read(trialFile)).toBe(`${newCommit} 0\n`);
    box.sh('rm /run/undeploy-fails');
    checkBoot();
    expect(box.read(trialFile)).toBe('');
    expect(deployed()).toBe(`* ${oldCommit} 1\n`);
    expect(badCommits().split('\n')).toHaveLength(2);
  });

  it('goes on where the power was cut after each of its steps', () => {
    // Remembered and undeployed, but the trial still stands: nothing that is deployed is on trial any more.
    box.deploy({ ...old, running: true });
    box.write('var/lib/treeline/bad-commits', `${newCommit} 2 1 it did not start\n`);
    checkBoot();
    expect(box.read(trialFile)).toBe('');
    expect(box.read(trialOfBoot)).toBe('');
    expect(deployed()).toBe(`* ${oldCommit} 1\n`);
    expect(console()).toBe('treeline: health: good\n');
  });

  it('leaves an upgrade alone that came first', () => {
    box.deploy({ commit: otherCommit, version: '3' }, { ...old, running: true });
    box.write(trialFile, `${otherCommit} 1\n`);
    checkBoot();
    expect(box.read(trialFile)).toBe(`${otherCommit} 1\n`);
    expect(deployed()).toContain(otherCommit);
    expect(console()).toBe('treeline: health: good\n');
  });
});

describe.skipIf(boxSkipped)(`check-boot of other states${boxNote}`, () => {
  beforeEach(good);

  it('ends the trial of a version that was never deployed', () => {
    box.deploy({ ...old, running: true });
    onTrial(newCommit);
    checkBoot();
    expect(box.read(trialFile)).toBe('');
    expect(badCommits()).toBe('');
    expect(console()).toBe('treeline: health: good\n');
  });

  it('leaves a version alone that an upgrade has put on trial in this boot', () => {
    box.deploy(next, { ...old, running: true });
    box.write(trialFile, `${newCommit} 1\n`);
    checkBoot();
    expect(box.read(trialFile)).toBe(`${newCommit} 1\n`);
    expect(deployed()).toContain(newCommit);
    expect(badCommits()).toBe('');
  });

  it('ends the trial of a version that runs but does not start next', () => {
    box.deploy({ commit: otherCommit, version: '3' }, { ...next, running: true });
    onTrial(newCommit);
    checkBoot();
    expect(box.read(trialFile)).toBe('');
    expect(deployed()).toContain(otherCommit);
    expect(badCommits()).toBe('');
  });
});

describe.skipIf(boxSkipped)(`the service treeline-ready${boxNote}`, () => {
  beforeEach(() => {
    box.write('run/treeline-ready', readFileSync(join(commonRootfs, 'etc/init.d/treeline-ready'), 'utf8'));
    box.program('usr/lib/treeline/issue', ':');
    box.deploy({ ...old, running: true });
    // The one that is asked at shutdown.
    box.program('usr/lib/treeline/health.d/required/network', 'echo "$*" >>/run/asked');
  });

  it('says that the runlevel is reached, and does not wait for the checks', () => {
    box.program('etc/treeline/health.d/required/a', 'until [ -e /run/go ]; do usleep 10000; done');
    const { status, stderr } = box.sh(`
. /run/treeline-ready; start; cat /dev/console; : >/run/go
until grep -q health /dev/console; do usleep 10000; done`);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(console()).toBe('treeline: default runlevel reached, 0 services failed\ntreeline: health: good\n');
  });

  it('ends checks that still run, and has the address noted, unless a version is on trial', () => {
    box.program('etc/treeline/health.d/required/z', 'touch /run/begun; sleep 1000');
    const stop = `
rm -f /run/begun; . /run/treeline-ready; start
until [ -e /run/begun ]; do usleep 10000; done
stop || echo failed; ${sleepers}`;
    expect(box.sh(stop)).toEqual({ status: 1, stdout: '', stderr: '' });
    expect(box.read('run/asked')).toBe('\n--remember\n');
    box.write(trialOfBoot, `${newCommit}\n`);
    expect(box.sh(stop).stdout).toBe('');
    expect(box.read('run/asked')).toBe('\n--remember\n\n');
    expect(console()).not.toContain('health');
  });
});
