import { defineConfig } from 'vitest/config';
import { LongestFirst } from './test/sequencer.ts';

/**
 * Three levels of tests, by file name: `*.unit.test.ts` (fast, no root), `*.tool.test.ts` (real ostree, mke2fs, …, as
 * root), `*.boot.test.ts` (QEMU and LXC guests, from images that test/e2e/images.ts builds once).
 */
const level = (name: string, more: object = {}) => ({
  extends: true as const,
  test: { name, include: [`test/**/*.${name}.test.ts`], ...more },
});

export default defineConfig({
  test: {
    // One more than processors: guests and programs also wait.
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
    projects: [
      // Files share a process: to load the sources anew for each took longer than the tests.
      level('unit', { testTimeout: 60_000, isolate: false }),
      level('tool', { testTimeout: 300_000, hookTimeout: 300_000, globalSetup: 'test/alpine-setup.ts' }),
      level('boot', {
        ...{ testTimeout: 900_000, hookTimeout: 900_000 },
        globalSetup: ['test/alpine-setup.ts', 'test/e2e/images.ts'],
      }),
    ],
  },
});
