#!/usr/bin/env zx
// All tests that this machine can run. The last line counts them: `N passed, N failed, N skipped`.
//   npm test                       all levels
//   npm test -- --project unit     one level: unit, tool or boot
//   npm test -- test/recipe        some files
//   npm test -- --times            prints at its end where the time went
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { $ } from 'zx';
import { bundleSources, home } from './lib/treeline.mjs';

await bundleSources();
const scratch = await mkdtemp(join(tmpdir(), 'treeline-test-'));
const report = join(scratch, 'report.json');
const options = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
const words = process.argv.slice(2);
const env = { ...process.env };
if (words.includes('--times')) {
  options.push('--reporter=./test/times-reporter.ts');
  env.TREELINE_TEST_TIMES = join(scratch, 'times');
  await writeFile(env.TREELINE_TEST_TIMES, '');
}
const run = await $({
  cwd: home,
  stdio: 'inherit',
  nothrow: true,
  env,
})`npx vitest run ${options} ${words.filter((word) => word !== '--times')}`;
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
