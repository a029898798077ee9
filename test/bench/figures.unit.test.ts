import { describe, expect, it } from 'vitest';
import { judge } from '../../scripts/lib/bench/aims.ts';
import type { Figure } from '../../scripts/lib/bench/figure.ts';
import { makeReport } from '../../scripts/lib/bench/report.ts';
import { evaluate, median, ratio } from '../../scripts/lib/bench/statistics.ts';
import { figuresTable, formatValue, markdownTable } from '../../scripts/lib/bench/table.ts';

function figure(role: Figure['role'], values: readonly number[], more: Partial<Figure> = {}): Figure {
  return { group: 'x vm cold', title: 'x, cold', who: role, role, unit: 'seconds', values, ...more };
}

describe('the median', () => {
  it.each([
    [[3], 3],
    [[9, 1, 5], 5],
    [[10, 9, 1], 9],
    [[4, 1, 2, 100], 3],
  ])('of %j is %d', (values, expected) => {
    expect(median(values)).toBe(expected);
  });

  it('of nothing is no number', () => {
    expect(median([])).toBeNaN();
  });
});

describe('the ratio', () => {
  it('is taken run by run, so that a machine that gets slower does not change it', () => {
    expect(ratio([2, 20, 4], [1, 10, 2])).toBe(2);
    expect(ratio([10, 10, 40], [1, 10, 10])).toBe(4);
  });

  it('is that of the medians where one ran less often', () => {
    expect(ratio([30], [1, 2, 3])).toBe(15);
  });

  it('is to ours in the same group and unit, and facts have none', () => {
    const figures = evaluate([
      figure('ours', [2]),
      figure('peer', [8]),
      figure('peer', [8], { unit: 'bytes' }),
      figure('peer', [8], { group: 'another' }),
      figure('fact', [8]),
    ]);
    expect(figures.map((each) => each.ratio)).toEqual([1, 4, null, null, null]);
  });
});

describe('the aims', () => {
  const judged = (figures: Figure[]): string[] =>
    judge(evaluate(figures)).map(({ aim, figure: value, met }) => `${aim}: ${value}, ${met}`);

  it('of a cold build are seconds, the fastest peer and the floor', () => {
    expect(
      judged([
        figure('ours', [5]),
        figure('peer', [50], { who: 'slow' }),
        figure('peer', [20], { who: 'fast' }),
        figure('floor', [4]),
      ]),
    ).toEqual([
      '≤ 6 s: 5.00 s, true',
      '≥ 5 times faster than the fastest peer: 4.00 times (fast), false',
      '≤ 1.5 times the floor: 1.25 times, true',
    ]);
  });

  it('take nothing for a peer that does a part of the job', () => {
    expect(judged([figure('ours', [7]), figure('part', [8])])).toEqual(['≤ 6 s: 7.00 s, false']);
  });

  it('are silent about groups that have none, and about sizes', () => {
    expect(judged([figure('ours', [7], { group: 'x deltas' })])).toEqual([]);
    expect(judged([figure('ours', [7], { unit: 'bytes' })])).toEqual([]);
  });

  it('of builds in which nothing changed are seconds and ten times the fastest peer', () => {
    const group = 'x lxc nothing';
    expect(judged([figure('ours', [0.5], { group }), figure('peer', [5], { group })])).toEqual([
      '≤ 0.7 s: 0.50 s, true',
      '≥ 10 times faster than the fastest peer: 10 times (peer), true',
    ]);
    expect(judged([figure('ours', [0.5], { group }), figure('peer', [4.98], { group })])[1]).toBe(
      '≥ 10 times faster than the fastest peer: 9.96 times (peer), false',
    );
  });
});

describe('the table', () => {
  it('names each group once, tells the spread, and explains the others', () => {
    const text = figuresTable(
      evaluate([
        figure('ours', [1, 2, 3], { who: 'Treeline' }),
        figure('peer', [30], { who: 'other', does: 'the same' }),
        figure('fact', [2048], { title: 'size', who: 'image', unit: 'bytes' }),
      ]),
    );
    expect(text.split('\n')).toEqual([
      '| what | by | median | least – most | of ours |',
      '| --- | --- | --- | --- | --- |',
      '| x, cold | Treeline | 2.00 s | 1.00 s – 3.00 s |  |',
      '|  | other | 30.0 s | once | 15 × |',
      '| size | image | 2.0 KiB |  |  |',
      '',
      '- **other**: the same',
    ]);
  });

  it('keeps a bar inside its cell', () => {
    expect(markdownTable(['a'], [['x | y']])).toContain('x \\| y');
  });

  it.each([
    [0.123, 'seconds', '0.12 s'],
    [12.34, 'seconds', '12.3 s'],
    [512, 'bytes', '0.5 KiB'],
    [1 << 20, 'bytes', '1.0 MiB'],
  ] as const)('shows %d %s as %s', (value, unit, expected) => {
    expect(formatValue(value, unit)).toBe(expected);
  });
});

describe('the report', () => {
  it('names what was left out and why, and which aims were missed', () => {
    const { markdown } = makeReport({
      machine: 'a machine',
      runs: 1,
      figures: [figure('ours', [9])],
      leftOut: [{ what: 'mkosi', reason: 'not installed' }],
    });
    expect(markdown).toMatch(/^a machine\. Medians of 1 run\.\n/);
    expect(markdown).toContain('| x vm cold | ≤ 6 s | 9.00 s | **missed** |');
    expect(markdown).toContain('Left out:\n\n- mkosi: not installed\n');
  });
});
