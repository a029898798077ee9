import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect } from 'vitest';
import { Box, commitId } from './box.ts';
import { commonRootfs } from './busybox.ts';

/** The running system of the test that runs. */
export let box: Box;

/** Gives each test of a file a box without the health checks of images. */
export function useBox(): void {
  beforeEach(() => {
    box = new Box();
    box.sh('rm -r /usr/lib/treeline/health.d/*/*');
  });
  afterEach(() => box.remove());
}

export const [oldCommit, newCommit, otherCommit] = ['a', 'b', 'c'].map(commitId) as [string, string, string];
export const old = { commit: oldCommit, version: '1' };
export const next = { commit: newCommit, version: '2' };
export const trialFile = 'sysroot/ostree/deploy/treeline/trial';
export const trialOfBoot = 'run/treeline/trial';
export const good = (): void => box.program('etc/treeline/health.d/required/sound', 'echo fine');
export const failing = (): void =>
  box.program('etc/treeline/health.d/required/broken', 'echo "no light"; exit 1');

/** As the service treeline-trial does; the trial's commit, and in a container the tries left. */
export function onTrial(commit: string, tries = ' 0'): void {
  box.write(trialFile, `${commit}${tries}\n`);
  const script = readFileSync(join(commonRootfs, 'etc/init.d/treeline-trial'), 'utf8');
  box.write('run/treeline-trial', script);
  expect(box.sh('. /run/treeline-trial; start')).toEqual({ status: 0, stdout: '', stderr: '' });
}

/** Sources all of check-boot, with a reboot that is only written down. `lines` come before it starts. */
export const sourced = (lines: string): string => `
library=/usr/lib/treeline
for part in common boot-state hooks fleet-lock health verdict check-boot; do . "$library/$part.sh"; done
reboot() { echo reboot >>/run/happened; }
run_hooks() { echo "hooks $1 $TREELINE_VERSION $TREELINE_RESULT" >>/run/happened; }
release_reboot_lock() { echo release >>/run/happened; }
logger() { cat >/dev/null; }
${lines}`;
export const checkBoot = (lines = ''): void => {
  const { stderr, status } = box.sh(sourced(`${lines}\ncheck_boot </dev/null`));
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
};
export const console = (): string => box.read('dev/console');
export const happened = (): string => box.read('run/happened');
export const result = (): Record<string, string> =>
  Object.fromEntries(
    box
      .read('var/lib/treeline/boot-result')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
export const badCommits = (): string => box.read('var/lib/treeline/bad-commits');
export const deployed = (): string => box.read('run/deployments');
