// What `npm run bench` measures of the Alpine base inside one process: installing packages, and reading indexes as large
// as Alpine's own. Called with a JSON object of options; prints JSON.
import { createHash, generateKeyPairSync } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createHost } from '../../../src/host/host.ts';
import { silentLog } from '../../../src/host/log.ts';
import { openWorkspace } from '../../../src/host/workspace.ts';
import { readIndex, writeIndex } from '../../../src/packages/apk/formats/index-file.ts';
import { fetchPackages, resolvePackages } from '../../../src/packages/packages.ts';
import { readRecipe } from '../../../src/recipe/index.ts';

const options = JSON.parse(process.argv[2] ?? '{}') as
  | { what: 'install'; workspace: string; overlays: string; base: string; mirror: string; runs: number }
  | { what: 'index'; entries: number; runs: number };

console.log(
  JSON.stringify(options.what === 'install' ? await measureInstall(options) : measureIndex(options)),
);

/** Seconds of each installation of the packages of a recipe, which are in the cache, into an empty root. */
async function measureInstall({
  workspace: directory,
  overlays,
  base,
  mirror,
  runs,
}: Extract<typeof options, { what: 'install' }>) {
  const workspace = openWorkspace(directory);
  const host = createHost({ workspace, log: silentLog, signal: new AbortController().signal, listeners: [] });
  mkdirSync(workspace.temporary, { recursive: true });
  const recipe = await readRecipe({
    overlays,
    base,
    arch: 'x86_64',
    target: 'lxc',
    services: [],
    extraLayers: [],
  });
  const packageOptions = { mirrors: [mirror], offline: false, refresh: false };
  const lock = await resolvePackages(host, recipe, packageOptions);
  const packages = await fetchPackages(host, lock, recipe, packageOptions);
  const root = join(workspace.temporary, 'bench-root');
  const seconds: number[] = [];
  for (let run = 0; run < runs; run += 1) {
    rmSync(root, { recursive: true, force: true });
    const started = performance.now();
    await packages.install!(root);
    seconds.push((performance.now() - started) / 1000);
  }
  return { seconds, packages: lock.packages.length };
}

/** Seconds to verify and parse an index of so many packages, and the most memory that the process had, in bytes. */
function measureIndex({ entries, runs }: Extract<typeof options, { what: 'index' }>) {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const name = 'bench.rsa.pub';
  const texts = Array.from({ length: entries }, (_, index) => entryText(index));
  const bytes = writeIndex(texts, { description: 'bench', key: { name, key: privateKey } });
  const seconds: number[] = [];
  for (let run = 0; run < runs; run += 1) {
    const started = performance.now();
    const read = readIndex(bytes, { label: 'bench', keys: [{ name, key: publicKey }] });
    if (read.length !== entries) throw new Error(`${read.length} entries`);
    seconds.push((performance.now() - started) / 1000);
  }
  return { seconds, bytes: bytes.length, memory: process.resourceUsage().maxRSS * 1024 };
}

/** As long as one of Alpine's on average, and as hard to compress. */
function entryText(index: number): string {
  const hash = (algorithm: string): Buffer => createHash(algorithm).update(String(index)).digest();
  const dependencies = Array.from(
    { length: 5 },
    (_, number) => `so:lib${(index * 7 + number * 131) % 9000}.so.${number}`,
  );
  return [
    `C:Q1${hash('sha1').toString('base64')}`,
    `P:package-${index}`,
    `V:1.${index % 100}.${index % 7}-r${index % 10}`,
    'A:x86_64',
    `S:${10_000 + ((index * 7919) % 5_000_000)}`,
    `I:${30_000 + ((index * 104_729) % 20_000_000)}`,
    `T:What package number ${index} is good for`,
    `U:https://www.example.org/projects/package-${index}/`,
    'L:GPL-2.0-or-later',
    `o:package-${index - (index % 4)}`,
    'm:A Maintainer <maintainer@example.org>',
    `t:${1_700_000_000 + index}`,
    `c:${hash('sha1').toString('hex')}`,
    `D:${dependencies.join(' ')}`,
    `p:so:lib${index % 9000}.so.${index % 5}=1.${index % 100} cmd:package-${index}=1.${index % 100}`,
  ].join('\n');
}
