#!/usr/bin/env zx
// Every fault that test/faults injects, many times: power cuts, writes that a disk lost, killed builds, broken versions.
//   npm run torture                      100 power cuts, 200 disks that lost writes, 50 killed builds, all else once
//   npm run torture -- --count 20        so many power cuts (--losses N, --kills N: of the others)
//   npm run torture -- --seed 7          the moments that this seed gives; without it a new one, which is printed
//   npm run torture -- --seed 7 --only 13 -t 'cut 13'      one point again
//   npm run torture -- --keep DIR        where the disks of failures go (.treeline/torture)
//   npm run torture -- power-cut         only test files whose names hold this
// Exit code 1 where anything failed.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { randomInt } from 'node:crypto';
import { $, minimist } from 'zx';
import { bundleSources, home } from './lib/treeline.mjs';

const options = minimist(process.argv.slice(2), {
  string: ['seed', 'count', 'losses', 'kills', 'only', 'keep', 't'],
});
const seed = options.seed ?? String(randomInt(1_000_000));
const keep = resolve(options.keep ?? join(home, '.treeline/torture'));
await bundleSources();
const scratch = await mkdtemp(join(tmpdir(), 'treeline-torture-'));
const report = join(scratch, 'report');

console.log(`seed ${seed}; disks of failures go to ${keep}`);
const { exitCode } = await $({
  cwd: home,
  stdio: 'inherit',
  nothrow: true,
  env: {
    ...process.env,
    TREELINE_TORTURE: '1',
    TREELINE_TORTURE_SEED: seed,
    TREELINE_TORTURE_CUTS: options.count ?? '100',
    TREELINE_TORTURE_LOSSES: options.losses ?? '200',
    TREELINE_TORTURE_KILLS: options.kills ?? '50',
    TREELINE_TORTURE_ONLY: options.only ?? '',
    TREELINE_TORTURE_KEEP: keep,
    TREELINE_TORTURE_REPORT: report,
  },
})`npx vitest run ${options.t === undefined ? [] : ['-t', options.t]} ${testFiles(options._)}`;

const tried = await readReport();
await rm(scratch, { recursive: true });
printCounts(tried);
printFailures(tried);
process.exitCode = exitCode !== 0 || tried.length === 0 ? 1 : 0;

function testFiles(names) {
  return names.length === 0 ? ['test/faults'] : names.map((name) => `test/faults/${name}`);
}

async function readReport() {
  const text = await readFile(report, 'utf8').catch(() => '');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

/** One line a kind: how many, how they ended, how many failed. */
function printCounts(all) {
  console.log(`\nseed ${seed}`);
  for (const [kind, group] of Object.entries(groupByKind(all))) {
    const failed = group.filter(({ problems }) => problems.length > 0).length;
    const results = {};
    for (const { result } of group) {
      const [name] = result.split(', ');
      results[name] = (results[name] ?? 0) + 1;
    }
    const shown = Object.entries(results).map(([name, count]) => `${name} ${count}`);
    console.log(`${kind}: ${group.length} tried, ${failed} failed (${shown.join(', ')})`);
  }
}

function groupByKind(all) {
  const groups = {};
  for (const each of all) (groups[each.kind] ??= []).push(each);
  return groups;
}

function printFailures(all) {
  for (const { kind, number, where, problems } of all) {
    if (problems.length > 0)
      console.log(`\nFAILED ${kind} ${number}, seed ${seed}: ${where}\n  ${problems.join('\n  ')}`);
  }
}
