#!/usr/bin/env zx
// All tests that this machine can run. The last line counts them: `N passed, N failed, N skipped`.
//   npm test                       all levels
//   npm test -- --project unit     one level: unit, tool or boot
//   npm test -- test/recipe        some files
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { $ } from 'zx';
import { bundleSources, home } from './lib/treeline.mjs';

await bundleSources();
const scratch = await mkdtemp(join(tmpdir(), 'treeline-test-'));
const report = join(scratch, 'report.json');
const options = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
const run = await $({
  cwd: home,
  stdio: 'inherit',
  nothrow: true,
})`npx vitest run ${options} ${process.argv.slice(2)}`;
const counts = await readFile(report, 'utf8')
  .then(JSON.parse)
  .catch(() => undefined);
await rm(scratch, { recursive: true });

if (counts === undefined) {
  console.error('error: the test runner ended without a report');
  process.exitCode = run.exitCode || 1;
} else {
  const {
    numPassedTests: passed,
    numFailedTests: failed,
    numTotalTests: total,
    numFailedTestSuites: brokenFiles,
  } = counts;
  // A file that cannot be loaded, or whose set-up fails, has no failed test of its own.
  const failures =
    failed === 0 && (brokenFiles > 0 || run.exitCode !== 0) ? Math.max(1, brokenFiles) : failed;
  console.log(`${passed} passed, ${failures} failed, ${total - passed - failed} skipped`);
  process.exitCode = failures > 0 || passed === 0 ? 1 : 0;
}
