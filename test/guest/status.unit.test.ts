import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Box, boxNote, boxSkipped, commitId } from './box.ts';

let box: Box;
beforeEach(() => {
  box = new Box();
});
afterEach(() => box.remove());

const [oldCommit, newCommit, badCommit] = ['a', 'b', 'c'].map(commitId) as [string, string, string];
const short = (commit: string): string => commit.slice(0, 12);
const time = 1_795_309_151;
const status = (): string => box.sh('treeline status').stdout;
const json = (): Record<string, unknown> => {
  const { stdout, stderr } = box.sh('treeline status --json');
  expect(stderr).toBe('');
  return JSON.parse(stdout) as Record<string, unknown>;
};
const record = (fields: Record<string, string | number>): void =>
  box.write(
    'var/lib/treeline/boot-result',
    Object.entries(fields)
      .map(([name, value]) => `${name}=${value}\n`)
      .join(''),
  );

describe.skipIf(boxSkipped)(`treeline status${boxNote}`, () => {
  beforeEach(() => box.deploy({ commit: oldCommit, version: '1', running: true }));

  it('shows what runs where nothing has been recorded yet', () => {
    expect(box.sh('treeline status')).toEqual({
      status: 0,
      stderr: '',
      stdout: `ref       treeline/debian-12/x86_64/vm
updates   none: set TREELINE_UPDATE_URL in /etc/treeline.conf
running   1 (commit ${short(oldCommit)})
`,
    });
    expect(json()).toEqual({
      ref: 'treeline/debian-12/x86_64/vm',
      updateUrl: '',
      deployments: [{ version: '1', commit: oldCommit, serial: 0, running: true, next: true }],
      trial: null,
      lastResult: null,
      pending: null,
      bad: [],
    });
  });

  it('shows the version on trial, the last result, what waits, and what is bad', () => {
    box.deploy({ commit: newCommit, version: '2' }, { commit: oldCommit, version: '1', running: true });
    box.write('sysroot/ostree/deploy/treeline/trial', `${newCommit} 1\n`);
    record({
      result: 'good',
      commit: oldCommit,
      version: '1',
      reason: '',
      failed: '',
      wanted: 'clock',
      time,
    });
    box.write('var/lib/treeline/available', `${badCommit} 4 ${time} downloaded\n`);
    box.write('var/lib/treeline/bad-commits', `${badCommit} 3 ${time} ssh: nothing answers\n`);
    expect(status()).toBe(`ref       treeline/debian-12/x86_64/vm
updates   none: set TREELINE_UPDATE_URL in /etc/treeline.conf
next boot 2 (commit ${short(newCommit)})
running   1 (commit ${short(oldCommit)})
on trial  2 (commit ${short(newCommit)}), 1 try left
health    good; not as it should be: clock (2026-11-22 00:59 UTC)
pending   4 (commit ${short(badCommit)}), downloaded
bad       3 (commit ${short(badCommit)}): ssh: nothing answers (2026-11-22 00:59 UTC)
Reboot to start the version of the next boot.
`);
    expect(json()).toMatchObject({
      trial: { version: '2', commit: newCommit, triesLeft: 1 },
      lastResult: {
        result: 'good',
        commit: oldCommit,
        version: '1',
        reason: '',
        failed: [],
        wanted: ['clock'],
        time,
      },
      pending: { version: '4', commit: badCommit, time, downloaded: true },
      bad: [{ version: '3', commit: badCommit, time, reason: 'ssh: nothing answers' }],
    });
  });

  it('says how many tries GRUB has left', () => {
    box.write('boot/grub/grub.cfg', '');
    box.write('boot/grub/grubenv', '# GRUB Environment Block\ntreeline_tries=3\n'.padEnd(1024, '#'));
    box.write('sysroot/ostree/deploy/treeline/trial', `${oldCommit}\n`);
    expect(status()).toContain(`on trial  1 (commit ${short(oldCommit)}), 3 tries left\n`);
    box.write('boot/grub/grubenv', '');
    expect(status()).toContain(`on trial  1 (commit ${short(oldCommit)})\n`);
    expect(json()).toMatchObject({ trial: { triesLeft: null } });
  });

  it('says why the last start was not well', () => {
    record({ result: 'failed', reason: 'ssh: no answer', failed: 'ssh var', wanted: '', time });
    expect(status()).toContain('health    failed: ssh: no answer (2026-11-22 00:59 UTC)\n');
    expect(json()).toMatchObject({ lastResult: { result: 'failed', failed: ['ssh', 'var'] } });
    record({ result: 'fell-back', version: '2', reason: 'it did not start', failed: '', wanted: '', time });
    expect(status()).toContain('health    fell back from 2: it did not start (2026-11-22 00:59 UTC)\n');
  });

  it('is JSON whatever reasons, versions and damaged files say', () => {
    const reason = String.raw`\ "quoted" \n %s ${'$'}(reboot)`;
    record({ result: 'failed', reason: `${reason}\u0007ü`, failed: '" *', wanted: '', time: 'soon' });
    box.write('var/lib/treeline/bad-commits', `${badCommit} 3"4 08 ${reason}\n\n`);
    box.write('var/lib/treeline/available', '\u0000\u0001');
    expect(json()).toMatchObject({
      lastResult: { reason, failed: ['"', '*'], time: null },
      bad: [{ version: '3"4', time: null, reason }, { commit: '' }],
      pending: { time: null, downloaded: false },
    });
    expect(status()).toContain('at an unknown time');
  });

  it('needs a system that runs from OSTree', () => {
    box.sh('rm /run/ostree-booted');
    expect(box.sh('treeline status')).toMatchObject({ status: 1 });
  });
});
