#!/usr/bin/env zx
// How long builds take, how big their results are, how a guest starts: medians of several runs, as a table.
//   npm run bench                 the table, for the README
//   npm run bench -- --json FILE  the figures as well
//   npm run bench -- --runs 5     runs of each build (3)
//   npm run bench -- --no-guest   without starting a guest
//   npm run bench -- --alpine URL|DIR [--release v3.19] [--overlay DIR]   the Alpine base as well, from this mirror
//   npm run bench -- --no-debian  without the debian base
import { randomUUID } from 'node:crypto';
import { spawn } from 'node:child_process';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { $, argv, fs } from 'zx';
import { benchAlpine } from './lib/bench-alpine.mjs';
import { bundleSources, home } from './lib/treeline.mjs';

const runs = Number(argv.runs ?? 3);
const scratch = await fs.mkdtemp(join(tmpdir(), 'treeline-bench-'));
const workspace = join(scratch, 'workspace');
const layer = join(scratch, 'layer');
const key = join(scratch, 'key');
const figures = [];
process.on('exit', () => fs.rmSync(scratch, { recursive: true, force: true }));

await bundleSources();
await fs.outputFile(join(layer, 'rootfs/etc/bench'), randomUUID());
await $`ssh-keygen -q -t ed25519 -N '' -f ${key}`;

if (argv.debian !== false) await benchDebian();
await benchAlpine({
  mirror: argv.alpine,
  release: argv.release ?? 'latest-stable',
  layers: [argv.overlay ?? []].flat(),
  scratch,
  runs,
  record,
  say,
});

console.log(`\n${cpus().length} × ${cpus()[0].model}, medians of ${runs} runs\n`);
console.log('| what | figure | least – most |\n| --- | --- | --- |');
for (const { what, unit, median, least, most } of figures) {
  console.log(
    `| ${what} | ${show(median, unit)} | ${least === most ? '' : `${show(least, unit)} – ${show(most, unit)}`} |`,
  );
}
if (argv.json) await fs.outputJson(argv.json, figures, { spaces: 2 });

async function benchDebian() {
  say('filling the cache');
  await build('vm', workspace);
  await build('lxc', workspace);

  for (const target of ['vm', 'lxc']) {
    await measure(`${target}: cold build, packages in the cache`, async () => {
      const fresh = join(scratch, 'fresh');
      await fs.remove(fresh);
      await fs.copy(join(workspace, '.treeline/cache/packages'), join(fresh, '.treeline/cache/packages'));
      await fs.copy(join(workspace, '.treeline/cache/apt'), join(fresh, '.treeline/cache/apt'), {
        filter: (path) => !path.endsWith('/locks'),
        preserveTimestamps: true,
      });
      // apt's configuration names the directory it lies in.
      return timed(() => build(target, fresh));
    });
    await build(target, workspace);
    await measure(`${target}: nothing changed`, () => timed(() => build(target, workspace)));
    await measure(`${target}: one file changed`, async () => {
      await fs.outputFile(join(layer, 'rootfs/etc/bench'), randomUUID());
      return timed(() => build(target, workspace));
    });
  }

  await sizes();
  await update();
  if (argv.guest !== false) await guest();
  await mmdebstrap();
}

/** One build of a target as a user runs it. */
async function build(target, where) {
  const options = ['--quiet', '--base', 'debian', '--workspace', where, '--overlay', layer];
  await $({ cwd: home })`node scripts/build-${target}.mjs ${options} --ssh-key ${key}.pub`;
}

async function sizes() {
  for (const target of ['vm', 'lxc']) {
    const directory = join(workspace, 'out/debian-12/x86_64', target, 'latest');
    const { artifacts } = await fs.readJson(join(directory, 'manifest.json'));
    for (const { file, kind, bytes } of artifacts.filter((artifact) => artifact.bytes > 1 << 20)) {
      const kindOf = kind === 'tarball' ? file.slice(file.indexOf('.tar')) : kind;
      record(`${target}: size, ${kindOf}`, 'bytes', [bytes]);
      if (kind !== 'disk-image') continue;
      const { blocks } = await fs.stat(join(directory, file));
      record(`${target}: size, ${kindOf}, without its holes`, 'bytes', [blocks * 512]);
    }
  }
}

async function update() {
  say('an update of one file, with deltas');
  await fs.outputFile(join(layer, 'rootfs/etc/bench'), randomUUID());
  const seconds = await timed(
    () =>
      $({ cwd: home })`node scripts/build-update.mjs --quiet --workspace ${workspace} --target lxc --offline`,
  );
  record('lxc: build-update after one changed file, both deltas made and proved', 'seconds', [seconds]);
  const { refs, deltas } = await fs.readJson(join(workspace, 'out/updates/index.json'));
  const [head] = Object.values(refs);
  for (const { from, bytes } of deltas.filter(({ to }) => to === head.commit)) {
    record(`lxc: delta ${from === null ? 'from nothing' : 'of one file'}`, 'bytes', [bytes]);
  }
}

/** Starts the image with emulated or real processors, whichever `npm run boot` would use here. */
async function guest() {
  const seconds = [];
  for (let run = 0; run < runs; run += 1) {
    say(`guest, start ${run + 1} of ${runs}`);
    const { stdout } = await $({
      cwd: home,
    })`node scripts/boot.mjs --print --memory 128 --workspace ${workspace}`;
    const line = stdout.split('\n').find((text) => text.includes('qemu-system'));
    const port = /hostfwd=tcp:[^:]*:(\d+)-/.exec(line)?.[1];
    const started = performance.now();
    // The printed line is meant for a shell.
    const qemu = spawn('sh', ['-c', `exec ${line.replace(/^.*?(?=qemu-system)/, '')}`], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    await new Promise((resolve, reject) => {
      let text = '';
      qemu.stdout.on('data', (part) => {
        text += part;
        if (text.includes('treeline login:')) resolve();
      });
      qemu.on('exit', () =>
        reject(new Error(`the guest ended before the login prompt:\n${text.slice(-2000)}`)),
      );
    });
    seconds.push((performance.now() - started) / 1000);
    if (run === 0) {
      const ssh = [
        '-i',
        key,
        '-p',
        port,
        '-o',
        'StrictHostKeyChecking=no',
        '-o',
        'UserKnownHostsFile=/dev/null',
        '-o',
        'LogLevel=ERROR',
      ];
      const { stdout: memory } = await $`ssh ${ssh} root@127.0.0.1 cat /proc/meminfo`;
      const kibibytes = (name) => Number(new RegExp(`^${name}: +(\\d+)`, 'm').exec(memory)[1]);
      record('guest with 128 MiB: memory that the kernel leaves', 'bytes', [kibibytes('MemTotal') * 1024]);
      record('guest with 128 MiB: memory in use after start', 'bytes', [
        (kibibytes('MemTotal') - kibibytes('MemAvailable')) * 1024,
      ]);
    }
    qemu.removeAllListeners('exit');
    qemu.kill('SIGKILL');
    await new Promise((resolve) => qemu.on('exit', resolve));
  }
  record('guest with 128 MiB: power on to login prompt', 'seconds', seconds);
}

/** The same packages, unpacked by mmdebstrap (no disk made), where it is installed. */
async function mmdebstrap() {
  if ((await $({ nothrow: true })`command -v mmdebstrap`).exitCode !== 0) {
    console.log('left out: mmdebstrap is not installed');
    return;
  }
  const { images } = await fs.readJson(join(workspace, 'out/debian-12/x86_64/vm/latest/lock.json'));
  const names = Object.values(images)[0]
    .packages.map((entry) => entry.name)
    .join(',');
  await measure('mmdebstrap --variant=extract, the same packages, no disk', () =>
    timed(
      () =>
        $`mmdebstrap --quiet --variant=extract --include=${names} bookworm ${join(scratch, 'mmdebstrap.tar')}`,
    ),
  );
}

async function measure(what, run) {
  const values = [];
  for (let count = 0; count < runs; count += 1) {
    say(`${what}, ${count + 1} of ${runs}`);
    values.push(await run());
  }
  record(what, 'seconds', values);
}

async function timed(work) {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
}

function record(what, unit, values) {
  const sorted = values.toSorted((a, b) => a - b);
  figures.push({
    what,
    unit,
    values,
    median: sorted[Math.floor(sorted.length / 2)],
    least: sorted[0],
    most: sorted.at(-1),
  });
}

function show(value, unit) {
  if (unit === 'seconds') return `${value.toFixed(2)} s`;
  return value < 1 << 20 ? `${(value / 1024).toFixed(1)} KiB` : `${(value / (1 << 20)).toFixed(1)} MiB`;
}

function say(text) {
  console.error(`bench: ${text}`);
}
