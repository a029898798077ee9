import { defineConfig } from 'vitest/config';

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
    maxWorkers: 2,
    projects: [
      level('unit', { testTimeout: 60_000 }),
      level('tool', { testTimeout: 300_000, hookTimeout: 300_000, globalSetup: 'test/alpine-setup.ts' }),
      level('boot', {
        ...{ testTimeout: 900_000, hookTimeout: 900_000 },
        globalSetup: ['test/alpine-setup.ts', 'test/e2e/images.ts'],
      }),
    ],
  },
});
