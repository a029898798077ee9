import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { busyboxInstalled, withLibrary } from './busybox.ts';

const reason = '(skipped where busybox is not installed)';
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'treeline-guest-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe.skipIf(!busyboxInstalled)(`what treeline upgrade is asked for ${reason}`, () => {
  const parse = (args: string) =>
    withLibrary(
      ['common', 'upgrade'],
      `update_url=default; parse_upgrade ${args}
       echo "$source $stage|$file|$update_url|$reboot_wanted$downgrade_allowed$retry_wanted$previous_may_go"`,
    );

  it.each([
    ['', 'network ||default|'],
    ['--url http://a/', 'network ||http://a|'],
    ['--url=http://a', 'network ||http://a|'],
    ['--check', 'network check||default|'],
    ['--download --download', 'network download||default|'],
    ['--apply', 'saved apply||default|'],
    ['--apply --reboot', 'saved apply||default|yes'],
    ['--reboot', 'network ||default|yes'],
    ['"/media/a b.delta" --reboot', 'file |/media/a b.delta|default|yes'],
    ['--allow-downgrade --retry --drop-previous', 'network ||default|yesyesyes'],
  ])('understands %s', (args, expected) => {
    expect(parse(args)).toEqual({ status: 0, stdout: `${expected}\n`, stderr: '' });
  });

  it.each([
    ['--check --apply', '--check and --apply are different things'],
    ['--download --check', '--download and --check are different things'],
    ['--check --reboot', '--check makes nothing ready to start'],
    ['--reboot --download', '--download makes nothing ready to start'],
    ['a.delta --check', '--check is about versions of a server, and a.delta is a file'],
    ['a.delta --apply', '--apply is about versions of a server, and a.delta is a file'],
    ['a.delta b.delta', 'one file, not both a.delta and b.delta'],
    ['a.delta --url http://a', '--url is of no use here'],
    ['--apply --url=http://a', '--url is of no use here'],
    ['--url', '--url needs a URL'],
    ['--urk', 'upgrade does not know --urk'],
    ['""', 'upgrade does not know'],
  ])('refuses %s with exit code 2', (args, message) => {
    const { status, stdout, stderr } = parse(args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain(message);
  });
});

const sum = (letter: string): string => letter.repeat(64);
type Fields = Record<string, string | number>;
let lines: string;
/** The lines that json.awk makes of an index's deltas. */
const index = (...deltas: Fields[]): void => {
  lines = deltas
    .flatMap((fields, number) =>
      Object.entries({
        ref: 'r',
        from: sum('a'),
        to: sum('b'),
        file: 'fine.delta',
        bytes: 10,
        sha256: sum('e'),
        unpackedBytes: 30,
        memory: 5,
        ...fields,
      }).map(([name, value]) => `/deltas/${number}/${name}\t${value}\n`),
    )
    .join('');
};

describe.skipIf(!busyboxInstalled)(`the way that an upgrade takes ${reason}`, () => {
  const [running, next, target] = [sum('a'), sum('c'), sum('b')];
  const choose = (memory = 1000) => {
    writeFileSync(join(directory, 'index'), lines);
    writeFileSync(
      join(directory, 'meminfo'),
      `MemTotal: 999999 kB\nMemAvailable: ${memory} kB\nSwapFree: 0 kB\n`,
    );
    return withLibrary(
      ['common', 'upgrade'],
      `work=${directory} ref=r target_commit=${target} target_version=2 commit=${running} first_commit=${next}
       version=1 origin=o downloads=${directory}/downloads meminfo=${directory}/meminfo cgroups=${directory}
       "\${CHOOSE:-choose_route}" && cat $work/route`,
    );
  };
  const files = (memory?: number): string[] =>
    choose(memory)
      .stdout.trim()
      .split('\n')
      .map((line) => line.split(' ')[0] ?? '');

  it('says file, bytes, checksum, bytes unpacked, and memory of each delta', () => {
    index({ file: 'a-b.delta' });
    expect(choose()).toEqual({ status: 0, stdout: `a-b.delta 10 ${sum('e')} 30 5\n`, stderr: '' });
  });

  it('is one delta where that is smallest', () => {
    index({ from: 'null', file: 'full', bytes: 900 }, { file: 'small', bytes: 800 });
    expect(files()).toEqual(['small']);
  });

  it('is the one from nothing where that is smaller', () => {
    index({ from: 'null', file: 'full', bytes: 700 }, { file: 'small', bytes: 800 });
    expect(files()).toEqual(['full']);
  });

  it('is several deltas in their order where these are smaller together', () => {
    index(
      { from: sum('2'), to: target, file: 'third', bytes: 1000 },
      { file: 'all-at-once', bytes: 10_000 },
      { from: sum('1'), to: sum('2'), file: 'second', bytes: 1000 },
      { from: 'null', file: 'full', bytes: 20_000 },
      { to: sum('1'), file: 'first', bytes: 1000 },
    );
    expect(files()).toEqual(['first', 'second', 'third']);
  });

  it('may begin at what would start next', () => {
    index({ from: next, file: 'from-next', bytes: 5 }, { file: 'from-running', bytes: 500 });
    expect(files()).toEqual(['from-next']);
  });

  it('ends where deltas lead in circles', () => {
    index(
      { to: sum('1'), file: 'there', bytes: 0 },
      { from: sum('1'), to: running, file: 'back', bytes: 0 },
      { from: sum('1'), file: 'on', bytes: 0 },
    );
    expect(files()).toEqual(['there', 'on']);
  });

  it('takes no delta of another ref, or to another commit', () => {
    index({ file: 'a', ref: 'q' }, { file: 'b', to: sum('9') });
    expect(choose()).toMatchObject({
      status: 1,
      stdout: '',
      stderr: 'treeline: o has no delta that leads from version 1 to 2: install a newer image\n',
    });
  });

  it('goes around a delta that needs more memory than is free', () => {
    index({ file: 'small', bytes: 1, memory: 1024 * 1024 }, { from: 'null', file: 'full', bytes: 99 });
    expect(files(1025)).toEqual(['small']);
    expect(files(1023)).toEqual(['full']);
  });

  it('names the memory that is needed and the memory that is free, where no delta can do with that', () => {
    index({ memory: 64 * 1024 * 1024 }, { from: 'null', bytes: 99, memory: 128 * 1024 * 1024 });
    const { status, stderr } = choose(10 * 1024);
    expect(status).toBe(1);
    expect(stderr).toContain('version 2 needs 64 MB to be unpacked, 10 MB are free');
    expect(stderr).toContain('nothing has changed');
  });

  it.each([
    { file: '../../etc/passwd' },
    { file: 'a b' },
    { file: '-O' },
    { bytes: '1e9' },
    { bytes: '-1' },
    { bytes: '9'.repeat(16) },
    { unpackedBytes: '$(reboot)' },
    { memory: '' },
    { sha256: 'abc' },
    { from: 'b' },
    { to: 'B'.repeat(64) },
  ])('refuses the hostile entry %j', (fields) => {
    index(fields);
    const { status, stdout, stderr } = choose();
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toContain('is damaged');
  });
});

describe.skipIf(!busyboxInstalled)(`memory that is free ${reason}`, () => {
  const free = (files: Record<string, string>): number => {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(join(directory, name, '..'), { recursive: true });
      writeFileSync(join(directory, name), text);
    }
    const { stdout, stderr } = withLibrary(
      ['common', 'upgrade'],
      `work=${directory} meminfo=${directory}/meminfo cgroups=${directory}/cgroup; free_memory`,
    );
    expect(stderr).toBe('');
    return Number(stdout);
  };
  const meminfo = 'MemTotal: 64000 kB\nMemFree: 100 kB\nMemAvailable: 10000 kB\nSwapFree: 20000 kB\n';
  const kib = 1024;

  it('is what the kernel can give, and swap', () => {
    expect(free({ meminfo })).toBe(30_000 * kib);
  });

  it('is less where a container may not have all of it, but its caches count as free', () => {
    const stat = `anon 5\nfile ${6000 * kib}\nshmem ${1000 * kib}\n`;
    expect(
      free({
        meminfo,
        'cgroup/memory.max': `${20_000 * kib}\n`,
        'cgroup/memory.current': `${15_000 * kib}\n`,
        'cgroup/memory.stat': stat,
      }),
    ).toBe(10_000 * kib);
  });

  it('is the same with control groups of version 1', () => {
    expect(
      free({
        meminfo,
        'cgroup/memory/memory.limit_in_bytes': `${9000 * kib}\n`,
        'cgroup/memory/memory.usage_in_bytes': `${8000 * kib}\n`,
        'cgroup/memory/memory.stat': `total_cache ${500 * kib}\ntotal_shmem 0\n`,
      }),
    ).toBe(1500 * kib);
  });

  it.each(['max', '9223372036854771712'])('is not less by the limit %s', (limit) => {
    expect(
      free({
        meminfo,
        'cgroup/memory.max': `${limit}\n`,
        'cgroup/memory.current': '5\n',
        'cgroup/memory.stat': '',
      }),
    ).toBe(30_000 * kib);
  });
});

describe.skipIf(!busyboxInstalled)(`room for an upgrade ${reason}`, () => {
  const makeRoom = (options: { needed: number; versions: string[]; dropPrevious?: boolean }) => {
    const list = join(directory, 'list');
    writeFileSync(list, options.versions.map((line, number) => `${number} ${line}\n`).join(''));
    const outcome = withLibrary(
      ['common', 'upgrade'],
      `work=${directory} LIST=${list} target_version=9 repository=/repo
       previous_may_go=${options.dropPrevious === true ? 'yes' : ''}
       deployments() { awk '{ $1 = NR - 1; print }' "$LIST"; }
       commit_time() { echo 1; }
       free_space() { echo $((300 - 100 * $(wc -l <"$LIST"))); }
       ostree() { [ "$1 $2" = 'admin undeploy' ] || exit 9; sed -i "$(($3 + 1))d" "$LIST"; }
       know_deployments
       make_room ${options.needed}`,
    );
    return { ...outcome, left: readFileSync(list, 'utf8').trim().split('\n').length };
  };
  const three = ['c 0 no 3', 'b 0 yes 2', 'a 0 no 1'];

  it('is there, or nothing is given up for it', () => {
    expect(makeRoom({ needed: 0, versions: three })).toMatchObject({ status: 0, stdout: '', left: 3 });
  });

  it('is made by deployments beyond two', () => {
    expect(makeRoom({ needed: 90, versions: three })).toMatchObject({
      status: 0,
      stdout: 'treeline: making room: version 1 goes\n',
      left: 2,
    });
  });

  it('is not made by the last one to fall back to, unless that is allowed', () => {
    const two = ['b 0 yes 2', 'a 0 no 1'];
    const refused = makeRoom({ needed: 150, versions: two });
    expect(refused).toMatchObject({ status: 1, stdout: '', left: 2 });
    expect(refused.stderr).toContain('not enough space');
    expect(refused.stderr).toContain('--drop-previous');
    expect(makeRoom({ needed: 150, versions: two, dropPrevious: true })).toMatchObject({
      status: 0,
      stdout: 'treeline: making room: version 1 goes\n',
      left: 1,
    });
  });

  it('is never made by what runs or starts next', () => {
    const refused = makeRoom({
      needed: 150,
      versions: ['c 0 no 3', 'b 0 yes 2'],
      dropPrevious: true,
    });
    expect(refused).toMatchObject({ status: 1, stdout: '', left: 2 });
    expect(refused.stderr).not.toContain('--drop-previous');
  });
});

describe.skipIf(!busyboxInstalled)(`the clock of an upgrade ${reason}`, () => {
  const mend = (lines_: string) =>
    withLibrary(['common', 'upgrade'], `${lines_}\nmend_clock; echo "now $now"`).stdout;
  /** Stands in for a clock that can be set, or not. */
  const clock = (start: number, settable: boolean): string => `
time=${start}; stay=${settable ? '' : 'yes'}
echo $time >${directory}/time
date() {
	case "$*" in
		+%s) cat ${directory}/time ;;
		'-u -s @'*) [ -n "$stay" ] || echo "\${3#@}" >${directory}/time ;;
		*) busybox date "$@" ;;
	esac
}`;

  it('is left alone where it can be right', () => {
    expect(mend(`${clock(2000, true)}\nrunning_time=1000`)).toBe('now 2000\n');
  });

  it('is set to the time of the running version where it is behind that', () => {
    expect(mend(`${clock(5, true)}\nrunning_time=1700000000`)).toBe(
      'treeline: the clock was wrong (1970-01-01 00:00 UTC), and is set to the time of the running version, 2023-11-14 22:13 UTC\nnow 1700000000\n',
    );
  });

  it('is taken as that time where it cannot be set', () => {
    expect(mend(`${clock(5, false)}\nrunning_time=1700000000`)).toBe(
      'treeline: the clock is wrong (1970-01-01 00:00 UTC): the time of the running version, 2023-11-14 22:13 UTC, is taken instead\nnow 1700000000\n',
    );
  });

  it('may be a little behind', () => {
    expect(mend(`${clock(1_700_000_000, true)}\nrunning_time=1700003599`)).toBe('now 1700003599\n');
  });
});

describe.skipIf(!busyboxInstalled)(`treeline's lock ${reason}`, () => {
  const lock = (script: string) =>
    withLibrary(['common'], `lock=${directory}/lock\n${script}`, { L: join(directory, 'lock') });

  it('is taken, and given back', () => {
    expect(lock('take_lock && [ -L $lock ] && release_lock; [ ! -L $lock ] && echo free').stdout).toBe(
      'free\n',
    );
  });

  it('lets no second one in, and says whose it is', () => {
    const { stdout, stderr } = lock('take_lock; (take_lock; echo in); echo $$');
    expect(stdout).toMatch(/^\d+\n$/);
    expect(stderr).toBe(
      `treeline: another treeline is changing this system (process ${stdout.trim()}): wait until it has ended\n`,
    );
  });

  it.each([
    ['of a process that has ended', '999999999-5'],
    ['of a process whose number another one has now', '1-1'],
    ['that is damaged', 'x'],
  ])('is taken over: one %s', (_, holder) => {
    expect(lock(`ln -s ${holder} $lock; take_lock && release_lock; ls ${directory}`)).toEqual({
      status: 0,
      stdout: '',
      stderr: '',
    });
  });

  it('is taken over by one process only', () => {
    const refused = lock(
      'ln -s 999999999-5 $lock; ln -s "$(identity $$)" $lock.takeover; (take_lock; echo in)',
    );
    expect(refused.stdout).toBe('');
    expect(refused.stderr).toContain('has just started: try again');
  });
});
