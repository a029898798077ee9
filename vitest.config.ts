import { defineConfig } from 'vitest/config';
import { LongestFirst, workers } from './test/sequencer.ts';

/**
 * Three levels of tests, by file name: `*.unit.test.ts` (fast, no root), `*.tool.test.ts` (real ostree, mke2fs, …, as
 * root), `*.boot.test.ts` (QEMU and LXC guests, from images that test/e2e/images.ts builds once).
 */
const level = (name: string, more: object = {}) => ({
  extends: true as const,
  test: { name, include: [`test/**/*.${name}.test.ts`], ...more },
});

// The unit tests come first: they are quick, and meanwhile the images are begun.
const [first, then] = [
  { maxWorkers: 4, sequence: { groupOrder: 0 } },
  { maxWorkers: workers, sequence: { groupOrder: 1 } },
];

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    // What is waited for comes some time; the limit of its test ends the wait.
    expect: { poll: { timeout: 100_000 } },
    projects: [
      // Files share a process: to load the sources anew for each took longer than the tests.
      level('unit', { ...first, testTimeout: 120_000, hookTimeout: 120_000, isolate: false }),
      level('tool', {
        ...{ ...then, testTimeout: 300_000, hookTimeout: 300_000 },
        globalSetup: 'test/alpine-setup.ts',
      }),
      level('boot', {
        ...{ ...then, testTimeout: 900_000, hookTimeout: 900_000 },
        globalSetup: ['test/alpine-setup.ts', 'test/e2e/images.ts'],
      }),
    ],
  },
});
