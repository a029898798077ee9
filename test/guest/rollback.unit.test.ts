import { expect, describe, it } from 'vitest';
import { busyboxInstalled, withLibrary } from './busybox.ts';

const [running, other] = ['a', 'b'].map((letter) => letter.repeat(64)) as [string, string];

/** Runs lines with stand-ins for all that changes the system: they say what they are called with. `FAIL` is what fails. */
const roll = (lines: string, fail = 'nothing'): string[] => {
  // Not standard output, which rollback throws away for ostree.
  const { stderr } = withLibrary(
    ['common', 'boot-state', 'rollback'],
    `ref=R
say() { echo "say: $*" >&2; }
step() { echo "$*" >&2; case "$*" in "$FAIL"*) return 1 ;; esac; }
ostree() { case "$*" in rev-parse*) echo before ;; *' --force '*) step "ref \${4##* }$5" ;; *) step "$1 $2 $3" ;; esac; }
arm_trial() { step "arm $1"; }
disarm_trial() { step "disarm $1"; }
pick_deployment() { case "$1" in running) echo "1 ${running} 0 yes 1.0" ;; *) echo "2 ${other} 0 no 0.9" ;; esac; }
deployments() { echo one; }
${lines}`,
    { FAIL: fail },
  );
  return stderr.trim().split('\n');
};

describe.skipIf(!busyboxInstalled)('rollback (skipped where busybox is not installed)', () => {
  it('puts on trial what it makes the default, before it does so', () => {
    const steps = roll('return_to_previous');
    expect(steps[0]).toMatch(/^ref /);
    expect(steps.slice(1)).toEqual([
      `arm ${other}`,
      'admin deploy --retain-rollback',
      'say: version 0.9 starts at the next boot: reboot to return to it',
    ]);
  });

  it.each(['arm', 'admin deploy'])('takes the trial back where it fails: %s', (fail) => {
    const steps = roll('return_to_previous', fail);
    expect(steps).toContain(`disarm ${other}`);
    expect(steps.at(-1)).toContain(
      'cannot return to version 0.9: see the message above; nothing has changed',
    );
    expect(steps.filter((step) => step.startsWith('ref '))).toHaveLength(2);
  });

  it('drops an upgrade first and its trial then: as long as it is there, it may be started', () => {
    const steps = roll(`drop_pending ${other} 2.0`);
    expect(steps.slice(1)).toEqual([
      'admin undeploy 0',
      `disarm ${other}`,
      'say: version 2.0, which had not been started, is dropped: version 1.0 goes on',
    ]);
  });

  it('leaves the trial of an upgrade that could not be dropped', () => {
    const steps = roll(`drop_pending ${other} 2.0`, 'admin undeploy');
    expect(steps.some((step) => step.startsWith('disarm'))).toBe(false);
    expect(steps.at(-1)).toContain('cannot drop version 2.0');
  });
});
