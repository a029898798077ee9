import { beforeEach, describe, expect, it } from 'vitest';
import { boxNote, boxSkipped, sleepers } from './box.ts';
import {
  badCommits,
  box,
  checkBoot,
  console,
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
  sourced,
  trialFile,
  trialOfBoot,
  useBox,
} from './check-boot-box.ts';

useBox();

describe.skipIf(boxSkipped)(`check-boot, where nothing is on trial${boxNote}`, () => {
  beforeEach(() => box.deploy({ ...old, running: true }));

  it('records that all is well, runs the hooks, and gives back the lock of the fleet', () => {
    good();
    box.program('etc/treeline/health.d/wanted/extra', 'exit 1');
    checkBoot();
    expect(console()).toBe('treeline: health: good\n');
    expect(happened()).toBe('hooks after-boot 1 good\nrelease\n');
    expect(result()).toMatchObject({
      result: 'good',
      commit: oldCommit,
      version: '1',
      failed: '',
      wanted: 'extra',
      reason: '',
    });
    expect(Math.abs(Number(result()['time']) - Date.now() / 1000)).toBeLessThan(60);
  });

  it('records what failed, and does no more', () => {
    failing();
    checkBoot();
    expect(console()).toBe('treeline: health: failed: broken\n');
    expect(happened()).toBe('');
    expect(result()).toMatchObject({ result: 'failed', failed: 'broken', reason: 'broken: no light' });
  });

  it('checks a system without OSTree too', () => {
    box.sh('rm /run/ostree-booted /run/deployments');
    good();
    checkBoot();
    expect(console()).toBe('treeline: health: good\n');
    expect(result()).toMatchObject({ result: 'good', commit: '', version: '' });
    expect(box.read('run/ostree-calls')).toBe('');
  });

  it('checks once where it is started twice', () => {
    box.program('etc/treeline/health.d/required/a', 'echo run >>/run/runs; sleep 1');
    box.sh(sourced('check_boot & check_boot & wait'));
    expect(box.read('run/runs')).toBe('run\n');
    expect(console()).toBe('treeline: health: good\n');
  });

  it('ends at once when it is stopped, with its checks', () => {
    box.program('etc/treeline/health.d/required/a', 'touch /run/begun; sleep 1000');
    const { stdout } = box.sh(
      sourced(`
(exec /usr/lib/treeline/check-boot) &
until [ -e /run/begun ]; do usleep 10000; done
process=$(readlink /run/treeline/check-boot.lock); kill "\${process%-*}"; wait
${sleepers}
ls -d /run/treeline.* /run/treeline/check-boot.lock`),
    );
    expect(stdout).toBe('');
    expect(console()).toBe('');
  });
});

describe.skipIf(boxSkipped)(`check-boot of a version on trial that runs${boxNote}`, () => {
  beforeEach(() => {
    box.deploy({ ...next, running: true }, old);
    onTrial(newCommit);
  });

  it('ends the trial where it is healthy, and the process that would restart the machine', () => {
    good();
    box.program(
      'run/deadline',
      'trap "echo ended >>/run/happened; exit" TERM; while :; do usleep 10000; done',
    );
    box.sh(sourced('/run/deadline & echo $! >/run/treeline/deadline.pid; (check_boot); wait'));
    expect(box.read(trialFile)).toBe('');
    expect(box.read(trialOfBoot)).toBe('');
    expect(happened().split('\n').toSorted()).toEqual(['', 'ended', 'hooks after-boot 2 good', 'release']);
    expect(box.read('run/treeline/deadline.pid')).toBe('');
    expect(result()).toMatchObject({ result: 'good', version: '2' });
    expect(badCommits()).toBe('');
  });

  it('ends GRUB’s count of the tries too', () => {
    good();
    box.write('boot/grub/grub.cfg', '');
    box.write('boot/grub/grubenv', `# GRUB Environment Block\ntreeline_tries=2\n`.padEnd(1024, '#'));
    checkBoot();
    expect(box.read('boot/grub/grubenv')).toBe('# GRUB Environment Block\n'.padEnd(1024, '#'));
  });

  it('reboots where a required check fails, and leaves the trial as it is', () => {
    failing();
    checkBoot();
    expect(happened()).toBe('reboot\n');
    expect(console()).toBe('treeline: health: failed: broken\n');
    expect(result()).toMatchObject({
      result: 'failed',
      commit: newCommit,
      version: '2',
      reason: 'broken: no light',
    });
    expect(box.read(trialFile)).toBe(`${newCommit} 0\n`);
    expect(badCommits()).toBe('');
  });

  it('reboots also where /var takes no record', () => {
    failing();
    box.sh('rm -r /var/lib/treeline');
    box.write('var/lib/treeline', 'in the way');
    checkBoot();
    expect(happened()).toBe('reboot\n');
  });

  it('does not reboot where a wanted check fails', () => {
    box.program('etc/treeline/health.d/wanted/extra', 'exit 1');
    checkBoot();
    expect(console()).toBe('treeline: health: good\n');
    expect(box.read(trialFile)).toBe('');
  });

  it('only reports where there is nothing to return to, and lets the machine run', () => {
    box.deploy({ ...next, running: true });
    failing();
    checkBoot();
    expect(happened()).toBe('');
    expect(console()).toBe('treeline: health: failed: broken\n');
    expect(result()).toMatchObject({ result: 'failed' });
    expect(box.read(trialFile)).toBe('');
  });

  it('tells the checks that there is a trial', () => {
    box.program('etc/treeline/health.d/required/a', '[ "$TREELINE_CHECK" = trial ]');
    checkBoot();
    expect(console()).toBe('treeline: health: good\n');
  });

  it('does not touch what an upgrade has put on trial meanwhile', () => {
    // As an upgrade leaves it.
    box.program(
      'etc/treeline/health.d/required/a',
      `printf '%s\\n' '${otherCommit} 1' '${newCommit}' >/${trialFile}
printf '%s\\n' '  ${otherCommit} 3' '* ${newCommit} 2' >/run/deployments; exit 1`,
    );
    checkBoot();
    expect(happened()).toBe('');
    expect(box.read(trialFile)).toBe(`${otherCommit} 1\n${newCommit}\n`);
    expect(result()).toMatchObject({ result: 'failed', failed: 'a' });
    expect(badCommits()).toBe('');
  });

  it('lets an upgrade wait until the verdict is given, but not for ever', () => {
    good();
    const wait = 'wait_for_verdict; echo "through"';
    const { stdout } = box.sh(sourced(`(${wait}) & (check_boot) </dev/null; wait`));
    expect(stdout).toBe(
      'treeline: a version is on trial: waiting until its health checks are through\nthrough\n',
    );
    onTrial(newCommit);
    expect(box.sh(sourced(`verdict_patience=0; ${wait}`))).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('check-boot has not said whether it is good') as string,
    });
  });

  it('waits until an upgrade is through, and keeps the machine up for it', () => {
    good();
    box.program('run/deadline', 'sleep 1000');
    checkBoot(`
sh -c 'sleep 1000' treeline & upgrade=$!
ln -s "$(identity $upgrade)" $lock
setsid /run/deadline & echo $! >/run/treeline/deadline.pid
(while [ -e /run/treeline/deadline.pid ]; do usleep 10000; done
cat /${trialFile} >/run/trial-during-upgrade; kill $upgrade) &`);
    expect(box.read('run/trial-during-upgrade')).toBe(`${newCommit} 0\n`);
    expect(box.read(trialFile)).toBe('');
  });

  it('says so where the trial cannot be ended', () => {
    good();
    box.program('usr/lib/treeline/settle-trial', 'exit 1');
    checkBoot();
    expect(console()).toBe('treeline: health: failed: trial\n');
    expect(result()).toMatchObject({
      result: 'failed',
      reason: 'the trial cannot be ended: see the system log',
    });
    expect(happened()).toBe('');
  });

  it('gives no verdict where ostree does not say what runs', () => {
    good();
    box.program('usr/bin/ostree', 'exit 1');
    checkBoot();
    expect(console()).toBe('treeline: health: failed: ostree\n');
    expect(result()).toMatchObject({ reason: 'ostree does not say what runs' });
    expect(happened()).toBe('');
    expect(box.read(trialFile)).toBe(`${newCommit} 0\n`);
  });
});
