#!/usr/bin/env zx
// Every fault that test/faults injects, many times. Options: npm run torture -- --help
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { randomInt } from 'node:crypto';
import { $, minimist } from 'zx';
import { bundleSources, home } from './lib/treeline.mjs';

const help = `Usage: npm run torture [-- OPTIONS] [NAME...]

Every fault that test/faults injects, many times: power cuts, writes that a disk lost, killed builds, broken versions,
damaged downloads, full disks. Needs root. Says at its end what was tried, how often, and how it ended.

  --hours N     as much as fits into so many hours (0.5: half an hour); without it: the counts below
  --count N     so many power cuts (100)
  --losses N    so many disks that lost writes (200)
  --kills N     so many killed builds (50)
  --seed N      the moments that this seed gives; without it a new one, which is printed
  --only N -t 'cut N'   one point of a seed again
  --keep DIR    where the disks of failures go (.treeline/torture)
  NAME          only the files of test/faults whose names hold this: power-cut, build-kills, interruption,
                broken, conditions

Exit code 1 where anything failed, 2 where an option is wrong.`;

const options = readOptions(process.argv.slice(2));
const seed = options.seed ?? String(randomInt(1_000_000));
const keep = resolve(options.keep ?? join(home, '.treeline/torture'));
const began = Math.floor(Date.now() / 1000);
const { hours } = options;
// More than any machine gets done in that time: the clock ends it.
const fitting = (perHour, usual) => String(hours === undefined ? usual : Math.ceil(perHour * hours));
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
    TREELINE_TORTURE_CUTS: options.count ?? fitting(200, 100),
    TREELINE_TORTURE_LOSSES: options.losses ?? fitting(1000, 200),
    TREELINE_TORTURE_KILLS: options.kills ?? fitting(400, 50),
    TREELINE_TORTURE_BEGAN: String(began),
    TREELINE_TORTURE_UNTIL: hours === undefined ? '' : String(Math.floor(began + hours * 3600)),
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

/** Ends the process after --help, and where something is wrong. */
function readOptions(words) {
  const unknown = [];
  const found = minimist(words, {
    string: ['seed', 'count', 'losses', 'kills', 'only', 'keep', 't', 'hours'],
    boolean: ['help'],
    unknown: (word) => !word.startsWith('-') || unknown.push(word) === 0,
  });
  if (found.help) {
    console.log(help);
    process.exit(0);
  }
  if (unknown.length > 0) refuse(`there is no option ${unknown[0]}`);
  for (const name of ['seed', 'count', 'losses', 'kills', 'only']) {
    if (found[name] !== undefined && !/^\d{1,9}$/.test(found[name]))
      refuse(`--${name} takes a whole number, not ${JSON.stringify(found[name])}`);
  }
  const given = found.hours === undefined ? undefined : Number(found.hours || Number.NaN);
  if (given !== undefined && !(given > 0 && given <= 1000))
    refuse(`--hours takes a number of hours, not ${JSON.stringify(found.hours)}`);
  const files = readdirSync(join(home, 'test/faults')).filter((name) =>
    /\.(tool|boot)\.test\.ts$/.test(name),
  );
  for (const name of found._) {
    if (!files.some((file) => file.includes(name)))
      refuse(`no file of test/faults has ${name} in its name: ${files.join(', ')}`);
  }
  return { ...found, hours: given };
}

function refuse(reason) {
  console.error(`error: Cannot begin the torture: ${reason}`);
  console.error('hint: npm run torture -- --help lists the options.');
  process.exit(2);
}

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
  const minutes = Math.round((Date.now() / 1000 - began) / 60);
  console.log(`\nseed ${seed}, ${minutes} minutes`);
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
