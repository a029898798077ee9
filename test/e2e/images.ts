import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import type { TestProject } from 'vitest/node';
import { findMissing } from '../../src/host/tools.ts';
import type { Manifest, Target } from '../../src/model.ts';
import type { AlpineMirror } from '../helpers/alpine-mirror.ts';
import { spending } from '../helpers/spent.ts';
import type { KeyPair } from '../helpers/ssh.ts';
import { helloOne, helloTwo } from './alpine-packages.ts';
import { diskIn, diskOver } from '../faults/disks.ts';
import type { Frozen } from '../faults/frozen.ts';
import { freeze, startFreezable } from '../faults/frozen.ts';
import { saysHealth } from '../faults/start.ts';
import { artifact, measured, readyMarker, seconds } from './figures.ts';
import { changeOverlay, writeOverlay } from './overlay.ts';
import { runScriptText } from './program.ts';
import { startServe } from './server.ts';
import { alpineRelease } from '../helpers/alpine-fetch.ts';

/** One built version of one target. */
export interface BuiltVersion {
  /** The release directory, absolute. */
  directory: string;
  manifest: Manifest;
}

/** What the boot tests boot; made once for all of them. */
export interface Images {
  /** The workspace of all builds; its out/ is what `npm run serve` serves. */
  workspace: string;
  /** The user's own layer, in the state of the second version. */
  overlay: string;
  /** May log in as root. */
  key: KeyPair;
  /** A machine with 128 MiB of Debian's first version, which has been found well; see resume. Nothing was changed in it. */
  running: Frozen;
  debian: DebianImages;
  /** The same with Alpine's packages. Or why they are missing. */
  alpine: AlpineImages | { missing: string };
  /** Of 127.0.0.1, where `npm run serve` serves the workspace. */
  serverPort: number;
}

export interface DebianImages {
  first: Record<Target, BuiltVersion>;
  /** What build-update made of the changed overlay. */
  second: Record<Target, BuiltVersion>;
}

export interface AlpineImages {
  first: Record<UpdatedAlpine, BuiltVersion>;
  /** What build-update made of the changed overlay and packages; ovz was built then for the first time. */
  second: Record<Target, BuiltVersion>;
}

/** What the set-up came to. */
export type Outcome = { images: Images } | { missing: string } | { failed: string };

declare module 'vitest' {
  interface ProvidedContext {
    /** The file, absolute, in which the outcome of the set-up will stand (JSON): it goes on while other tests run. */
    imagesOutcome: string;
  }
}

const targets = ['vm', 'lxc', 'ovz'] as const;
// A delta from nothing costs a minute; two containers of one base would hardly differ.
const updatedAlpine = ['vm', 'lxc'] as const;
type UpdatedAlpine = (typeof updatedAlpine)[number];

const debianBase = 'debian-12';
const alpineBase = `alpine-${alpineRelease}`;

/**
 * Begins to build version one of every base and target with a user's own overlay, to start a machine of it, to change the
 * overlay and the packages, and to build the update, all by the scripts that npm runs; the tests that need none of it run
 * meanwhile. TREELINE_TEST_KEEP=1 keeps the directory and prints its name; TREELINE_TEST_IMAGES=DIR takes one that was kept
 * before instead of building.
 */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const kept = process.env['TREELINE_TEST_IMAGES'] ?? '';
  const outcomes = await mkdtemp(join(tmpdir(), 'treeline-outcome-'));
  const outcome = join(outcomes, 'outcome.json');
  project.provide('imagesOutcome', outcome);
  const directory = kept === '' ? await mkdtemp(join(tmpdir(), 'treeline-e2e-')) : kept;
  const ending = new AbortController();
  let server: Awaited<ReturnType<typeof startServe>> | undefined;
  const provide = async (): Promise<Outcome> => {
    const missing = whatBuildsLack();
    if (missing !== undefined) return { missing };
    const images = kept === '' ? await buildImages(directory, ending.signal) : await readImages(directory);
    server = await timed('npm run serve', () => startServe(images.workspace));
    return { images: { ...images, serverPort: server.port } };
  };
  const tell = async (): Promise<void> => {
    const result = await provide().catch((error: Error): Outcome => ({ failed: error.message }));
    if ('failed' in result && !ending.signal.aborted) say(result.failed);
    await writeFile(`${outcome}.new`, JSON.stringify(result));
    await rename(`${outcome}.new`, outcome);
  };
  const work = tell();
  return async () => {
    ending.abort();
    await work;
    await server?.stop();
    await rm(outcomes, { recursive: true });
    if (kept === '') await removeUnlessKept(directory);
  };
}

type BuiltImages = Omit<Images, 'serverPort'>;

const readImages = async (directory: string): Promise<BuiltImages> =>
  JSON.parse(await readFile(join(directory, 'images.json'), 'utf8')) as BuiltImages;

/** In CI nothing may be missing: there the builds say what is, and fail. */
function whatBuildsLack(): string | undefined {
  const { names } = findMissing(['build', 'vm', 'container']);
  const lacks = [...names, ...(process.getuid?.() === 0 ? [] : ['root'])];
  return lacks.length === 0 || process.env['CI'] ? undefined : `this machine lacks ${lacks.join(', ')}`;
}

async function removeUnlessKept(directory: string): Promise<void> {
  if (process.env['TREELINE_TEST_KEEP']) {
    say(`kept: ${directory} (TREELINE_TEST_IMAGES=${directory} uses it again)`);
    return;
  }
  // Deployments are immutable to everybody until the flag is taken away.
  await execa('chattr', ['-R', '-f', '-i', directory], { reject: false });
  await rm(directory, { recursive: true, force: true });
}

async function buildImages(directory: string, signal: AbortSignal): Promise<BuiltImages> {
  const workspace = join(directory, 'workspace');
  const overlay = join(directory, 'overlay');
  const key = await makeKey(directory);
  await writeOverlay(overlay);
  const inWorkspace = ['--workspace', workspace];
  const options = [...inWorkspace, '--overlay', overlay, '--ssh-key', key.publicKey];
  const run = (what: string, script: string, more: readonly string[]): Promise<string> =>
    timed(what, async () => {
      signal.throwIfAborted();
      return runScriptText(script, more, { signal });
    });
  const build = (base: string, wanted: readonly Target[], more: readonly string[] = []): Promise<string> => {
    const [first, ...others] = wanted.flatMap((target) => ['--target', target]).slice(1);
    return run(`building ${base} for ${wanted.join(', ')}`, `build-${first}`, [
      ...[...options, '--base', base, ...more, ...others],
    ]);
  };
  await build(debianBase, targets);
  const debian = await readVersions(workspace, debianBase, targets);
  // Only now: what it says is right when test/alpine-setup.ts has run, and this module was loaded before.
  const { alpineMissing } = await import('../helpers/alpine-repository.ts');
  const mirror = alpineMissing === undefined ? await makeMirror(directory, workspace) : undefined;
  const fromMirror = ['--mirror', mirror?.directory ?? '', '--overlay', mirror?.overlay ?? ''];
  const buildAlpine = async (): Promise<void> => {
    const added = ['zram', 'tweaks', 'auto-upgrade', 'chrony'].flatMap((name) => ['--service', name]);
    await build(alpineBase, ['vm'], [...fromMirror, ...added]);
    await build(alpineBase, ['lxc'], fromMirror);
  };
  // An emulated machine keeps one processor busy, a build the other.
  const [running] = await Promise.all([
    timed('starting a machine to go on from', () => freezeFirst(directory, { version: debian.vm, key })),
    mirror === undefined ? undefined : buildAlpine(),
  ]);
  const alpine = mirror && (await readVersions(workspace, alpineBase, updatedAlpine));

  await changeOverlay(overlay);
  await mirror?.publish({ release: 'second', extra: [helloTwo] });
  await run('building the update of all, with deltas', 'build-update', inWorkspace);
  if (mirror !== undefined)
    await build(alpineBase, ['ovz'], [...fromMirror, '--service', 'sshd-', '--service', 'dropbear']);
  const second = {
    debian: await readVersions(workspace, debianBase, targets),
    alpine: mirror && (await readVersions(workspace, alpineBase, targets)),
  };
  const images: BuiltImages = {
    ...{ workspace, overlay, key, running },
    debian: { first: debian, second: second.debian },
    alpine:
      alpine && second.alpine ? { first: alpine, second: second.alpine } : { missing: alpineMissing ?? '' },
  };
  await writeFile(join(directory, 'images.json'), JSON.stringify(images));
  return images;
}

/** A machine of this version that has found itself well, from where tests go on: starting one takes half a minute. */
async function freezeFirst(
  directory: string,
  { version, key }: { version: BuiltVersion; key: KeyPair },
): Promise<Frozen> {
  const place = join(directory, 'running');
  await mkdir(place);
  const machine = { key, memory: 128 };
  await diskOver(artifact(version, '.img'), diskIn(place));
  const vm = await startFreezable(place, machine);
  try {
    const before = performance.now();
    await vm.waitFor(readyMarker, 300_000);
    measured(
      `${version.manifest.ref}: from power on to the default runlevel`,
      seconds(performance.now() - before),
    );
    await vm.waitFor(saysHealth, 300_000);
    // The first start makes the host keys; they are to be on the disk.
    await vm.sshText('sync');
    return await freeze(vm, place, machine);
  } finally {
    await vm.kill();
  }
}

/** Of the packages that the Debian images have fetched. */
const makeMirror = (directory: string, workspace: string): Promise<AlpineMirror> =>
  timed('making an Alpine mirror', async () => {
    const { makeAlpineMirror } = await import('../helpers/alpine-mirror.ts');
    const mirror = await makeAlpineMirror(
      join(directory, 'mirror'),
      join(workspace, '.treeline/cache/packages'),
    );
    await mirror.publish({ extra: [helloOne] });
    return mirror;
  });

async function makeKey(directory: string): Promise<KeyPair> {
  const privateKey = join(directory, 'id_ed25519');
  await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'treeline-e2e', '-f', privateKey]);
  const publicKey = `${privateKey}.pub`;
  return { privateKey, publicKey, line: (await readFile(publicKey, 'utf8')).trim() };
}

/** The newest version of each. */
async function readVersions<T extends Target>(
  workspace: string,
  base: string,
  wanted: readonly T[],
): Promise<Record<T, BuiltVersion>> {
  const versions = await Promise.all(
    wanted.map(async (target) => {
      const parent = join(workspace, 'out', base, 'x86_64', target);
      const manifest = JSON.parse(await readFile(join(parent, 'latest/manifest.json'), 'utf8')) as Manifest;
      const directory = join(parent, manifest.version);
      if (!existsSync(directory)) throw new Error(`latest does not name ${directory}`);
      return [target, { directory, manifest }] as const;
    }),
  );
  return Object.fromEntries(versions) as Record<T, BuiltVersion>;
}

async function timed<T>(what: string, work: () => Promise<T>): Promise<T> {
  say(`${what} …`);
  const start = performance.now();
  const result = await spending('images', work, what);
  say(`${what}: ${((performance.now() - start) / 1000).toFixed(1)} s`);
  return result;
}

const say = (text: string): void => void process.stderr.write(`e2e images: ${text}\n`);
