import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { TreelineError } from '../../src/host/errors.ts';
import type { Event } from '../../src/host/events.ts';
import type { Reporter, ReporterMode } from '../../src/host/reporter/reporter.ts';
import {
  chooseMode,
  createReporter,
  errorAsJson,
  formatBytes,
  formatError,
  formatSeconds,
} from '../../src/host/reporter/reporter.ts';
import { Screen } from './reporter-screen.ts';

const utf8 = { LANG: 'C.UTF-8', NO_COLOR: '1' };

const result: Event = {
  type: 'result',
  title: 'treeline/debian-12/x86_64/vm 20251104.0',
  rows: [
    { label: 'disk image', value: '', path: `${process.cwd()}/out/vm.img`, bytes: 512 * 1024 ** 2 },
    { label: 'manifest', value: '', path: '/elsewhere/manifest.json', bytes: 1234 },
    { label: 'commit', value: 'a'.repeat(64) },
  ],
  next: ['npm run boot'],
};

let screen: Screen;
let reporter: Reporter | undefined;

/** A reporter on a new screen; `send` gives it events. */
function start(mode: ReporterMode, columns = 80, environment: Record<string, string> = utf8): void {
  screen = new Screen(columns);
  reporter = createReporter({ mode, stream: screen }, environment);
}
const send = (...events: Event[]): void => events.forEach((event) => reporter!.listener(event));
const begin = (stage: string): Event => ({ type: 'stage-start', stage });
const progress = (stage: string, done: number, total: number): Event => ({
  type: 'stage-progress',
  stage,
  done,
  total,
  unit: 'bytes',
});
const end = (stage: string, detail = '', reused = false): Event => ({
  type: 'stage-end',
  stage,
  seconds: 1.26,
  reused,
  detail,
});

beforeEach(() => {
  vi.useFakeTimers({ now: new Date(2025, 10, 4, 12, 3, 4) });
});
afterEach(() => {
  reporter?.close();
  reporter = undefined;
  vi.useRealTimers();
});

describe('a log', () => {
  it('has a line for each stage that ended, with the time of day', () => {
    start('plain');
    send(begin('packages'), progress('packages', 1, 2), end('packages', '82 packages, 58 MiB'));
    send(begin('tree'), end('tree', '', true), begin('image'), {
      type: 'stage-failed',
      stage: 'image',
      seconds: 3,
    });
    expect(screen.lines).toEqual([
      '12:03:04  packages    82 packages, 58 MiB                                1.3 s',
      '12:03:04  tree        unchanged                                          1.3 s',
      '12:03:04  image       failed                                             3.0 s',
    ]);
  });

  it('tells now and then of a stage that takes long', () => {
    start('plain');
    send(begin('fetch'), progress('fetch', 12 * 1024 ** 2, 58 * 1024 ** 2));
    vi.advanceTimersByTime(15_000);
    expect(screen.lines).toEqual(['12:03:19  fetch       12 MiB of 58 MiB, 819 KiB/s, running for 15.0 s']);
    send(end('fetch'));
    vi.advanceTimersByTime(60_000);
    expect(screen.lines).toHaveLength(2);
  });

  it('has notes, warnings and the result in aligned columns, no colours', () => {
    start('plain', 200, { LANG: 'C.UTF-8' });
    send({ type: 'note', text: 'a note' }, { type: 'warning', text: 'a warning' }, result);
    expect(screen.lines).toEqual([
      '12:03:04  a note',
      '12:03:04  warning: a warning',
      'treeline/debian-12/x86_64/vm 20251104.0',
      '  disk image  512 MiB  out/vm.img',
      '  manifest    1.2 KiB  /elsewhere/manifest.json',
      `  commit      ${'a'.repeat(64)}`,
      '',
      'Next:',
      '  npm run boot',
    ]);
    expect(screen.written).not.toContain('\u001B');
  });
});

describe('quiet', () => {
  it('has warnings and the result only', () => {
    start('quiet', 200);
    send(
      begin('tree'),
      { type: 'note', text: 'a note' },
      { type: 'warning', text: 'a warning' },
      end('tree'),
      result,
    );
    expect(screen.lines.slice(0, 2)).toEqual([
      'warning: a warning',
      result.type === 'result' ? result.title : '',
    ]);
    expect(screen.written).not.toContain('a note');
  });
});

describe('JSON', () => {
  it('has every event as it is, one a line, with the time', () => {
    start('json');
    const events = [begin('tree'), progress('tree', 1, 2), end('tree', 'two\nlines'), result];
    send(...events);
    const lines = screen.written.trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual(
      events.map((event) => ({ time: new Date().toISOString(), ...event })),
    );
  });
});

describe('a terminal', () => {
  it('has a live line for each running stage, below the finished ones', () => {
    start('terminal');
    send(begin('packages'), begin('tree'));
    expect(screen.lines).toEqual(['⠋ packages    0.0 s', '⠋ tree        0.0 s']);
    vi.advanceTimersByTime(1000);
    expect(screen.lines).toEqual(['⠋ packages    1.0 s', '⠋ tree        1.0 s']);
    send(end('tree', '4859 files'));
    expect(screen.lines).toEqual([
      '✓ tree        4859 files                                         1.3 s',
      '⠋ packages    1.0 s',
    ]);
    send(end('packages', '82 packages', true));
    expect(screen.lines).toEqual([
      '✓ tree        4859 files                                         1.3 s',
      '= packages    82 packages, unchanged                             1.3 s',
    ]);
  });

  it('has a bar where a stage says how far it is', () => {
    start('terminal');
    send(begin('fetch'), progress('fetch', 3 * 1024 ** 2, 12 * 1024 ** 2));
    vi.advanceTimersByTime(1000);
    expect(screen.lines).toEqual(['⠋ fetch       █████░░░░░░░░░░░░░░░  3.0 MiB of 12 MiB, 3.0 MiB/s  1.0 s']);
    send({ type: 'stage-progress', stage: 'fetch', done: 9, total: 0, unit: 'packages' });
    vi.advanceTimersByTime(100);
    expect(screen.lines).toEqual(['⠙ fetch       9 packages  1.1 s']);
  });

  it('puts notes, warnings and the result above what runs', () => {
    start('terminal');
    send(begin('tree'), { type: 'note', text: 'a note' }, { type: 'warning', text: 'a warning' });
    expect(screen.lines).toEqual(['  a note', 'warning: a warning', '⠋ tree        0.0 s']);
  });

  it('keeps each live line in one row of a narrow terminal, and wraps what stays', () => {
    start('terminal', 20);
    send(begin('a-stage-with-a-long-name'), begin('b'));
    expect(screen.lines).toEqual(['⠋ a-stage-with-a-l…', '⠋ b           0.0 s']);
    vi.advanceTimersByTime(500);
    expect(screen.lines).toEqual(['⠴ a-stage-with-a-l…', '⠴ b           0.5 s']);
  });

  it('leaves nothing behind when the window is made narrower or wider', () => {
    start('terminal', 80);
    send(begin('fetch'), progress('fetch', 1024 ** 2, 12 * 1024 ** 2), begin('tree'));
    vi.advanceTimersByTime(1000);
    for (const columns of [30, 17, 100, 40]) {
      screen.resize(columns);
      vi.advanceTimersByTime(200);
      expect(screen.lines).toHaveLength(2);
      expect(screen.lines[1]).toMatch(/^\S tree/);
    }
    send(end('fetch'), end('tree'));
    expect(screen.lines.filter((line) => /fetch|tree/.test(line))).toHaveLength(2);
  });

  it('does not draw more lines than the window has', () => {
    start('terminal');
    screen.rows = 4;
    send(...['a', 'b', 'c', 'd', 'e'].map(begin));
    expect(screen.lines).toEqual(['⠋ a           0.0 s', '⠋ b           0.0 s', '  … and 3 more']);
  });

  it('lets no control character through', () => {
    start('terminal');
    send(begin('tree\u001B[2J'), { type: 'warning', text: 'up\u001B[5A\rand over' });
    expect(screen.lines).toEqual(['warning: up [5A and over', '⠋ tree [2J    0.0 s']);
  });

  it('removes the live lines when it is closed, and stops', () => {
    start('terminal');
    send(begin('tree'));
    reporter!.close();
    expect(screen.lines).toEqual([]);
    expect(screen.listeners).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
    const before = screen.written;
    vi.advanceTimersByTime(1000);
    expect(screen.written).toBe(before);
  });

  it('has colours unless NO_COLOR is set, and ASCII where the locale is not UTF-8', () => {
    start('terminal', 80, { LANG: 'C' });
    send(begin('fetch'), progress('fetch', 1, 2));
    vi.advanceTimersByTime(100);
    expect(screen.lines).toEqual(['/ fetch       ##########..........  1 B of 2 B  0.1 s']);
    send(end('fetch'));
    expect(screen.written).toContain('\u001B[32m+\u001B[0m fetch');
    start('terminal');
    send(begin('fetch'), end('fetch'));
    expect(screen.written).not.toContain('\u001B[32m');
  });
});

describe('chooseMode', () => {
  it.each([
    [{ json: true, quiet: true, isTTY: true }, {}, 'json'],
    [{ json: false, quiet: true, isTTY: true }, {}, 'quiet'],
    [{ json: false, quiet: false, isTTY: true }, { TERM: 'xterm' }, 'terminal'],
    [{ json: false, quiet: false, isTTY: true }, { TERM: 'dumb' }, 'plain'],
    [{ json: false, quiet: false, isTTY: false }, { TERM: 'xterm' }, 'plain'],
  ])('%o in %o: %s', (wanted, environment, mode) => {
    expect(chooseMode(wanted, environment)).toBe(mode);
  });
});

describe('an error', () => {
  const error = new TreelineError('hook', 'Cannot run hook 10-x: exit code 1', {
    hint: 'Mend the hook.',
    output: 'first line\nsecond line\n',
  });

  it('for people says what is wrong, what was printed, what mends it, and where the log is', () => {
    expect(formatError(error, '/w/.treeline/logs/build.log')).toBe(
      [
        'error: Cannot run hook 10-x: exit code 1',
        '  first line',
        '  second line',
        'hint: Mend the hook.',
        'log: /w/.treeline/logs/build.log',
      ].join('\n'),
    );
  });

  it('has a stack only where it is a bug', () => {
    expect(formatError(new TreelineError('usage', 'Cannot x: y'))).toBe('error: Cannot x: y');
    expect(formatError(new TypeError('undefined is not a function'))).toMatch(
      /^error: this is a bug in Treeline: TypeError: undefined is not a function\n\s+at /,
    );
    expect(formatError('text')).toBe('error: this is a bug in Treeline: text');
  });

  it('for programs has its code', () => {
    expect(JSON.parse(errorAsJson(error, '/log'))).toEqual({
      time: new Date().toISOString(),
      type: 'error',
      code: 'hook',
      message: 'Cannot run hook 10-x: exit code 1',
      hint: 'Mend the hook.',
      output: 'first line\nsecond line\n',
      log: '/log',
    });
    expect(JSON.parse(errorAsJson(new RangeError('no')))).toMatchObject({
      type: 'error',
      code: 'bug',
      message: 'no',
    });
    expect(errorAsJson(error)).not.toContain('\n');
  });
});

describe('units', () => {
  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [1536, '1.5 KiB'],
    [10_188, '9.9 KiB'],
    [10_200, '10 KiB'],
    [1_048_575, '1.0 MiB'],
    [58 * 1024 ** 2, '58 MiB'],
    [6 * 1024 ** 3, '6.0 GiB'],
    [3 * 1024 ** 5, '3072 TiB'],
  ])('%i bytes are %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });

  it.each([
    [0, '0.0 s'],
    [1.26, '1.3 s'],
    [59.94, '59.9 s'],
    [59.96, '1 min 00 s'],
    [125.4, '2 min 05 s'],
    [3600, '1 h 00 min'],
    [7380, '2 h 03 min'],
  ])('%d seconds are %s', (seconds, text) => {
    expect(formatSeconds(seconds)).toBe(text);
  });
});
