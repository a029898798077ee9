#!/usr/bin/env zx
// How long builds and updates take and how large they are, side by side with other tools: docs/bench.md.
//   npm run bench                      everything that is installed takes part; 3 runs of each
//   npm run bench -- --runs 5          so many
//   npm run bench -- --only REGEXP     only groups whose names match, as they stand in the messages ('vm nothing')
//   npm run bench -- --no-peers        Treeline alone
//   npm run bench -- --no-guest        without starting a guest
//   npm run bench -- --no-debian       without the base debian
//   npm run bench -- --alpine URL|DIR [--release v3.19] [--overlay DIR]   the base alpine as well, from this mirror
//   npm run bench -- --cache DIR       take packages and lists from this workspace instead of fetching them
//   npm run bench -- --json FILE --markdown FILE   the figures, and the tables, as files as well
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { minimist } from 'zx';
import { alpineGroups } from './lib/bench/alpine.mjs';
import { removeAllNow, run } from './lib/bench/command.mjs';
import { debianGroups } from './lib/bench/debian.mjs';
import { report } from './lib/bench/report.mjs';
import { bundleSources } from './lib/treeline.mjs';

const options = minimist(process.argv.slice(2), {
  string: ['runs', 'only', 'alpine', 'release', 'overlay', 'cache', 'json', 'markdown'],
  boolean: ['peers', 'guest', 'debian'],
  default: { runs: '3', only: '', release: 'latest-stable', peers: true, guest: true, debian: true },
  unknown: (word) => {
    console.error(`error: Cannot use ${word}: bench has no such option (docs/bench.md)`);
    process.exit(2);
  },
});
if (!/^[1-9]\d*$/.test(options.runs)) {
  console.error(`error: Cannot use --runs ${options.runs}: it takes a whole number from 1 on`);
  process.exit(2);
}
const scratch = await mkdtemp(join(tmpdir(), 'treeline-bench-'));
process.on('exit', () => removeAllNow(scratch));
for (const [signal, code] of Object.entries({ SIGINT: 130, SIGTERM: 143, SIGHUP: 129 }))
  process.once(signal, () => process.exit(code));

const figures = [];
const leftOut = [];
const bench = {
  runs: Number(options.runs),
  peers: options.peers,
  guest: options.guest,
  cache: options.cache && resolve(options.cache),
  scratch,
  privateKey: join(scratch, 'key'),
  publicKey: join(scratch, 'key.pub'),
  say: (text) => console.error(`bench: ${text}`),
  record: (figure) => figures.push(figure),
  leaveOut(what, reason) {
    if (leftOut.some((known) => known.what === what && known.reason === reason)) return;
    console.error(`bench: left out: ${what}: ${reason}`);
    leftOut.push({ what, reason });
  },
};

await bundleSources();
await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', bench.privateKey]);
const alpine = {
  mirror: options.alpine,
  release: options.release,
  layers: [options.overlay ?? []].flat().map((layer) => resolve(layer)),
};
const groups = [...(options.debian ? debianGroups(bench) : []), ...alpineGroups(bench, alpine)];
const chosen = groups.filter(({ name }) => new RegExp(options.only).test(name));
if (chosen.length === 0) {
  console.error(
    `error: Cannot measure ${options.only}: no group matches it; there are ${groups.map(({ name }) => name).join(', ')}`,
  );
  process.exit(2);
}
for (const group of chosen) await group.run();
await report({ scratch, runs: bench.runs, figures, leftOut }, options);
