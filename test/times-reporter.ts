import { readFileSync, writeFileSync } from 'node:fs';
import type { Reporter, TestModule } from 'vitest/node';
import { durationsFile, readDurations } from './sequencer.ts';

interface FileTime {
  file: string;
  level: string;
  /** Seconds: hooks and tests. */
  tests: number;
  /** Seconds: loading it and what it imports; for a boot test, the wait for its images, too. */
  load: number;
}

interface Spent {
  kind: string;
  what: string;
  seconds: number;
}

/**
 * Prints, at the end of `npm test -- --times`, where the time went (a table in Markdown, seconds), and keeps the files' times
 * for the order of the next run.
 */
export default class TimesReporter implements Reporter {
  readonly #began = performance.now();
  readonly #files: FileTime[] = [];

  onTestModuleEnd(module: TestModule): void {
    const { duration, collectDuration, prepareDuration, setupDuration } = module.diagnostic();
    this.#files.push({
      file: module.relativeModuleId,
      level: module.project.name,
      tests: duration / 1000,
      load: (collectDuration + prepareDuration + setupDuration) / 1000,
    });
  }

  onTestRunEnd(): void {
    const rows = [
      ...this.#levels(),
      ...readSpent(),
      ...this.#files
        .filter(({ tests }) => tests >= 10)
        .toSorted((a, b) => b.tests - a.tests)
        .map(({ file, tests }) => [`\`${file}\``, tests] as const),
      ['the whole run, by the clock', (performance.now() - this.#began) / 1000] as const,
    ];
    const text = rows.map(([what, seconds]) => `| ${what} | ${seconds.toFixed(0)} |\n`).join('');
    process.stdout.write(`\n| what | seconds |\n| --- | --: |\n${text}\n`);
    // A run of a few files says nothing of the others.
    const known = new Map(Object.entries(readDurations()));
    for (const { file, tests } of this.#files) {
      if (tests >= 5) known.set(file, Math.round(tests));
      else known.delete(file);
    }
    const sorted = [...known].toSorted(([a], [b]) => (a < b ? -1 : 1));
    writeFileSync(durationsFile, `${JSON.stringify(Object.fromEntries(sorted), undefined, 2)}\n`);
  }

  #levels(): (readonly [string, number])[] {
    return ['unit', 'tool', 'boot'].flatMap((level) => {
      const files = this.#files.filter((each) => each.level === level);
      if (files.length === 0) return [];
      const sum = (part: 'tests' | 'load'): number => files.reduce((total, each) => total + each[part], 0);
      const load = level === 'boot' ? [] : [[`${level}: loading the files`, sum('load')] as const];
      return [[`${level}: ${files.length} files, hooks and tests`, sum('tests')] as const, ...load];
    });
  }
}

function readSpent(): (readonly [string, number])[] {
  const file = process.env['TREELINE_TEST_TIMES'];
  const lines = file === undefined ? [] : readFileSync(file, 'utf8').split('\n').filter(Boolean);
  const sums = new Map<string, { seconds: number; count: number }>();
  for (const { kind, what, seconds } of lines.map((line) => JSON.parse(line) as Spent)) {
    const name = what === '' ? kind : `${kind}: ${what}`;
    const { seconds: before = 0, count = 0 } = sums.get(name) ?? {};
    sums.set(name, { seconds: before + seconds, count: count + 1 });
  }
  return [...sums].map(([name, { seconds, count }]) => [count === 1 ? name : `${name} (${count})`, seconds]);
}
