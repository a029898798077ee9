import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { emptyGrubEnvironment } from '../../src/image/disk/grub-config.ts';
import { isInstalled } from '../../src/host/tools.ts';
import type { Outcome } from './busybox.ts';
import { busyboxInstalled, withLibrary } from './busybox.ts';

const reason = '(skipped where busybox is not installed)';
const commit = (letter: string): string => letter.repeat(64);
const [a, b, c] = ['a', 'b', 'c'].map(commit) as [string, string, string];
const signature = '# GRUB Environment Block\n';

let directory: string;
let trial: string;
let grubenv: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'treeline-boot-'));
  trial = join(directory, 'trial');
  grubenv = join(directory, 'grub/grubenv');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** Runs lines after boot-state.sh, whose files are in `directory`; `first` is the commit that starts next. */
const boot = (lines: string, first = a): Outcome =>
  withLibrary(
    ['common', 'boot-state'],
    `trial_file=$DIR/trial grub_directory=$DIR/grub bad_commits=$DIR/lib/bad deadline_pid=$DIR/pid
pick_deployment() { [ "$*" = first ] || exit 9; echo "0 $FIRST 0 no 1"; }
${lines}`,
    { DIR: directory, FIRST: first, TMPDIR: directory },
  );
const read = (first = a): string => boot('read_trial; echo "$trial_commit $tries_left"', first).stdout.trim();
const makeMachine = (content: string | Buffer = emptyGrubEnvironment): void => {
  mkdirSync(join(directory, 'grub'));
  writeFileSync(join(directory, 'grub/grub.cfg'), '');
  writeFileSync(grubenv, content);
};
const block = (text: string): string => `${signature}${text}`.padEnd(1024, '#');

describe.skipIf(!busyboxInstalled)(`a trial on a machine of its own ${reason}`, () => {
  it('begins with three tries, in the trial file and in a block that GRUB understands', () => {
    makeMachine();
    expect(boot(`arm_trial ${a}`)).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(readFileSync(trial, 'utf8')).toBe(`${a}\n`);
    expect(readFileSync(grubenv, 'utf8')).toBe(block('treeline_tries=3\n'));
    expect(read()).toBe(`${a} 3`);
  });

  it.skipIf(!isInstalled('grub-editenv'))(
    "is read by GRUB's own tool (skipped where it is not installed)",
    () => {
      makeMachine();
      boot(`arm_trial ${a}`);
      expect(execFileSync('grub-editenv', [grubenv, 'list'], { encoding: 'utf8' })).toBe(
        'treeline_tries=3\n',
      );
      execFileSync('grub-editenv', [grubenv, 'set', 'treeline_tries=1']);
      expect(read()).toBe(`${a} 1`);
    },
  );

  it('writes grubenv in place: as the same file, without room for another one', () => {
    makeMachine();
    const { ino } = statSync(grubenv);
    boot(`arm_trial ${a}`);
    expect(statSync(grubenv).ino).toBe(ino);
    boot('disarm_trial');
    expect(statSync(grubenv).ino).toBe(ino);
  });

  it.each([
    ['missing', undefined],
    ['empty', ''],
    ['short', block('treeline_tries=1\n').slice(0, 1023)],
    ['long', `${block('')}#`],
  ])('writes a grubenv anew that is %s', (_, content) => {
    makeMachine();
    if (content === undefined) rmSync(grubenv);
    else writeFileSync(grubenv, content);
    expect(boot(`arm_trial ${a}`).status).toBe(0);
    expect(readFileSync(grubenv, 'utf8')).toBe(block('treeline_tries=3\n'));
    expect(existsSync(`${grubenv}.new`)).toBe(false);
  });

  it.each([
    ['garbage', Buffer.alloc(1024, 0xfe)],
    ['zeros', Buffer.alloc(1024)],
    ['another variable', block('saved_entry=1\n')],
  ])('writes over a grubenv that holds %s', (_, content) => {
    makeMachine(content);
    expect(read()).toBe('');
    boot(`arm_trial ${a}`);
    expect(readFileSync(grubenv, 'utf8')).toBe(block('treeline_tries=3\n'));
  });

  it('ends without a trace', () => {
    makeMachine();
    boot(`arm_trial ${a}; disarm_trial`);
    expect(existsSync(trial)).toBe(false);
    expect(readFileSync(grubenv, 'utf8')).toBe(emptyGrubEnvironment);
    expect(read()).toBe('');
  });

  it('does not write to /boot where there is nothing to be ended', () => {
    makeMachine('left alone');
    expect(boot('disarm_trial')).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(readFileSync(grubenv, 'utf8')).toBe('left alone');
  });

  it.each(['', 'x', a.slice(1), `${a}b`, `${'A'.repeat(64)}\n`, '\0\0\0'])(
    'is that of what starts next where its tries are counted and the trial file holds %j',
    (content) => {
      makeMachine(block('treeline_tries=2\n'));
      writeFileSync(trial, content);
      expect(read(b)).toBe(`${b} 2`);
      boot('disarm_trial');
      expect(read()).toBe('');
      expect(existsSync(trial)).toBe(false);
    },
  );

  it('is none where the trial file cannot be read and nothing is counted', () => {
    makeMachine();
    writeFileSync(trial, 'damaged');
    expect(read()).toBe('');
  });

  it('has no tries where GRUB would not read them', () => {
    for (const content of [
      block('treeline_tries=4\n'),
      block('treeline_tries=33\n'),
      block('treeline_tries=\n'),
      'treeline_tries=3\n',
      `x${block('treeline_tries=3\n')}`,
    ]) {
      makeMachine(content);
      expect(read()).toBe('');
      rmSync(join(directory, 'grub'), { recursive: true });
    }
  });

  it('fails where nothing can be written, and leaves what was there', () => {
    makeMachine();
    boot(`arm_trial ${a}`);
    const before = readFileSync(grubenv, 'utf8');
    const cannotWrite = 'dd() { return 1; }; mv() { return 1; };';
    expect(boot(`${cannotWrite} arm_trial ${b}`).status).toBe(1);
    expect(boot(`${cannotWrite} disarm_trial`).status).toBe(1);
    expect(readFileSync(trial, 'utf8')).toBe(`${a}\n`);
    expect(readFileSync(grubenv, 'utf8')).toBe(before);
  });
});

describe.skipIf(!busyboxInstalled)(`a trial that replaces another one ${reason}`, () => {
  beforeEach(() => {
    makeMachine();
    boot(`arm_trial ${a}`);
    boot(`arm_trial ${b}`);
  });

  it('is the one of what starts next: the power may be lost before the new commit is deployed', () => {
    expect(read(a)).toBe(`${a} 3`);
    expect(read(b)).toBe(`${b} 3`);
    expect(read(c)).toBe(`${b} 3`);
  });

  it('gives way again where its commit could not be deployed', () => {
    boot(`disarm_trial ${b}`);
    expect(readFileSync(trial, 'utf8')).toBe(`${a}\n`);
    expect(read()).toBe(`${a} 3`);
    boot(`disarm_trial ${a}`);
    expect(read()).toBe('');
  });

  it('leaves nothing behind of either', () => {
    boot('disarm_trial');
    expect(read()).toBe('');
    expect(existsSync(trial)).toBe(false);
  });

  it('keeps one commit of those that were to be replaced: the one that is deployed', () => {
    boot(`arm_trial ${c}`, b);
    expect(readFileSync(trial, 'utf8')).toBe(`${c}\n${b}\n`);
  });

  it('is not doubled where the same commit is tried again', () => {
    boot(`arm_trial ${b}`, b);
    expect(readFileSync(trial, 'utf8')).toBe(`${b}\n`);
  });
});

describe.skipIf(!busyboxInstalled)(`a trial in a container ${reason}`, () => {
  it('has one try, which stands in the trial file', () => {
    boot(`arm_trial ${a}`);
    expect(readFileSync(trial, 'utf8')).toBe(`${a} 1\n`);
    expect(read()).toBe(`${a} 1`);
    boot('disarm_trial');
    expect(existsSync(trial)).toBe(false);
    expect(existsSync(join(directory, 'grub'))).toBe(false);
  });

  it('has the tries of the commit that starts next', () => {
    boot(`arm_trial ${a}`);
    writeFileSync(trial, `${a} 0\n`);
    boot(`arm_trial ${b}`);
    writeFileSync(trial, `${b} 0\n${a} 1\n`);
    expect(read(a)).toBe(`${a} 1`);
    expect(read(b)).toBe(`${b} 0`);
  });
});

describe.skipIf(!busyboxInstalled)(`the list of bad commits ${reason}`, () => {
  const isBad = (id: string): boolean => boot(`is_bad ${id}`).status === 0;

  it('remembers a commit with version, time and reason, once', () => {
    expect(isBad(a)).toBe(false);
    boot(`remember_bad ${a} 1.0 'first reason'`);
    boot(`remember_bad ${b} 2.0 other`);
    boot(`remember_bad ${a} 1.0 'a reason\nof two lines'`);
    const lines = readFileSync(join(directory, 'lib/bad'), 'utf8').trim().split('\n');
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(new RegExp(`^${b} 2\\.0 \\d{10} other$`));
    expect(lines[1]).toMatch(new RegExp(`^${a} 1\\.0 \\d{10} a reason of two lines$`));
    expect([isBad(a), isBad(b), isBad(c)]).toEqual([true, true, false]);
  });

  it('forgets one and keeps the others', () => {
    boot(`remember_bad ${a} 1.0 x; remember_bad ${b} 2.0 y; forget_bad ${a}`);
    expect([isBad(a), isBad(b)]).toEqual([false, true]);
    expect(boot(`forget_bad ${c}`).status).toBe(0);
    boot(`forget_bad ${b}`);
    expect(isBad(b)).toBe(false);
  });

  it('says where it cannot be written', () => {
    writeFileSync(join(directory, 'lib'), 'no directory');
    expect(boot(`remember_bad ${a} 1.0 x 2>/dev/null`).status).toBe(1);
  });
});

describe.skipIf(!busyboxInstalled)(`the deadline of a trial ${reason}`, () => {
  it('is ended, and nothing else that has got its number', () => {
    const lines = `mkfifo $DIR/deadline
sh -c 'read -r _ <$0' $DIR/deadline & echo $! >$DIR/pid; end_deadline; wait $!; echo $?
sleep 60 >/dev/null & echo $! >$DIR/pid
until grep -q ^sleep /proc/$!/cmdline; do :; done
end_deadline; kill $! && echo alive; end_deadline; echo $?`;
    expect(boot(lines).stdout.trim().split('\n')).toEqual(['143', 'alive', '0']);
    expect(existsSync(join(directory, 'pid'))).toBe(false);
  });
});
