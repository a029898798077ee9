import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Box, boxNote, boxSkipped, commitId, sleepers } from './box.ts';
import { commonRootfs } from './busybox.ts';

let box: Box;
beforeEach(() => {
  box = new Box();
  box.sh('rm -r /usr/lib/treeline/health.d/*/*');
});
afterEach(() => box.remove());

const [oldCommit, newCommit, otherCommit] = ['a', 'b', 'c'].map(commitId) as [string, string, string];
const old = { commit: oldCommit, version: '1' };
const next = { commit: newCommit, version: '2' };
const trialFile = 'sysroot/ostree/deploy/treeline/trial';
const trialOfBoot = 'run/treeline/trial';
const good = (): void => box.program('etc/treeline/health.d/required/sound', 'echo fine');
const failing = (): void => box.program('etc/treeline/health.d/required/broken', 'echo "no light"; exit 1');

/** As the service treeline-trial does; the trial's commit, and in a container the tries left. */
function onTrial(commit: string, tries = ' 0'): void {
  box.write(trialFile, `${commit}${tries}\n`);
  const script = readFileSync(join(commonRootfs, 'etc/init.d/treeline-trial'), 'utf8');
  box.write('run/treeline-trial', script);
  expect(box.sh('. /run/treeline-trial; start')).toEqual({ status: 0, stdout: '', stderr: '' });
}

/** Sources all of check-boot, with a reboot that is only written down. `lines` come before it starts. */
const sourced = (lines: string): string => `
library=/usr/lib/treeline
for part in common boot-state hooks fleet-lock health verdict check-boot; do . "$library/$part.sh"; done
reboot() { echo reboot >>/run/happened; }
run_hooks() { echo "hooks $1 $TREELINE_VERSION $TREELINE_RESULT" >>/run/happened; }
release_reboot_lock() { echo release >>/run/happened; }
logger() { cat >/dev/null; }
${lines}`;
const checkBoot = (lines = ''): void => {
  const { stderr, status } = box.sh(sourced(`${lines}\ncheck_boot </dev/null`));
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
};
const console = (): string => box.read('dev/console');
const happened = (): string => box.read('run/happened');
const result = (): Record<string, string> =>
  Object.fromEntries(
    box
      .read('var/lib/treeline/boot-result')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
const badCommits = (): string => box.read('var/lib/treeline/bad-commits');
const deployed = (): string => box.read('run/deployments');

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
