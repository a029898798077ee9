import { defineConfig } from 'vitest/config';

/**
 * Three levels of tests, by file name: `*.unit.test.ts` (fast, no root), `*.tool.test.ts` (real ostree, mke2fs, …,
 * as root), `*.boot.test.ts` (QEMU and LXC guests).
 */
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 600_000,
    hookTimeout: 900_000,
    fileParallelism: true,
    maxWorkers: 2,
  },
});
