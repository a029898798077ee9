import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, expect, onTestFinished } from 'vitest';
import { mirrorLine } from '../helpers/debs.ts';
import type { Ended, How } from './program.ts';
import { checkout, expectSuccess, runProgram } from './program.ts';
import { makeSmallMirror } from './small-packages.ts';

/**
 * The checkout's layers without the packages that only a running system needs: busybox, and for `vm` a kernel. All of the
 * program's rooms have their work with it, in a tenth of the time.
 */
const smallPackages: Readonly<Record<string, string>> = {
  'base/debian/packages.list': 'busybox-static\n',
  'target/vm/base/debian/packages.list': 'linux-image-cloud-amd64\n',
  'service/sshd/base/debian/packages.list': '',
  'base/alpine/packages.list': 'alpine-base\nbusybox-static\n',
  'target/vm/base/alpine/packages.list': 'linux-virt\n',
};

/** Kept from run to run, as a user's workspace is; every test gets copies. */
const shared = join(import.meta.dirname, '../../node_modules/.cache/treeline-badluck');
const warm = (target: SmallTarget): string => join(contents, target);
type SmallTarget = 'vm' | 'lxc';
/** Test files run side by side: who reads or writes the shared workspace holds this. */
const exclusive = ['flock', join(shared, 'lock')];
/** Named by their content, so that nobody's layers change under him. */
const contents = join(shared, `contents-${contentsDigest()}`);
export const layers = join(contents, 'layers');
/** A flat repository of what the layers ask for, on base debian. */
export const smallMirror = join(contents, 'debian');

export const refPrefix = 'treeline/debian-12/x86_64';

/** The small layers; their packages come from Debian's archive. */
export const smallLayers = ['--overlays', layers, '--service', 'sshd-', '--no-ssh-key'];

/** What every command of these tests says beside its own options. */
export const smallTree = [...smallLayers, '--mirror', mirrorLine(smallMirror)];

/** Fills the shared workspaces: packages and package lists are in their caches, and one image each was built there. */
export async function warmUp(target: SmallTarget = 'lxc'): Promise<void> {
  makeContents();
  await withExclusive(async () => {
    await buildWarm(target);
    if (!hasHistory(target) && saysWhatWasBuilt(target)) return;
    // Layers, packages or what a commit says of them changed since the last run: begin again, from the cache.
    forgetBuilds(warm(target));
    await buildWarm(target);
  });
}

async function buildWarm(target: SmallTarget): Promise<void> {
  const built = await runProgram(`build-${target}`, ['--workspace', warm(target), ...smallTree]);
  if (built.exitCode !== 0) throw new Error(`cannot fill the cache:\n${built.stdout}\n${built.stderr}`);
}

function hasHistory(target: SmallTarget): boolean {
  const repository = join(warm(target), '.treeline/repo');
  return spawnSync('ostree', [`--repo=${repository}`, 'rev-parse', `${refPrefix}/${target}^`]).status === 0;
}

/** Whether the commit's own words are those that this version of the program would write. */
function saysWhatWasBuilt(target: SmallTarget): boolean {
  const latest = join(warm(target), 'out/debian-12/x86_64', target, 'latest/manifest.json');
  const manifest = JSON.parse(readFileSync(latest, 'utf8')) as { lock: string; recipe: string };
  return (['lock', 'recipe'] as const).every((name) => {
    const key = `--print-metadata-key=treeline.${name}`;
    const repository = `--repo=${join(warm(target), '.treeline/repo')}`;
    const stated = spawnSync('ostree', [repository, 'show', key, `${refPrefix}/${target}`], {
      encoding: 'utf8',
    });
    return stated.stdout.includes(manifest[name]);
  });
}

/** Packages that a build unpacked are in the repository; without them it needs the files of the cache. */
export const forgetUnpacked = (workspace: string): void =>
  rmSync(join(workspace, '.treeline/repo/refs/heads/cache'), { recursive: true });

async function withExclusive(work: () => Promise<void>): Promise<void> {
  const holder = spawn('flock', [join(shared, 'lock'), 'sh', '-c', 'echo held; exec cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(holder.stdout, 'data');
  try {
    await work();
  } finally {
    holder.stdin.end();
    await once(holder, 'exit');
  }
}

/** Writes layers and packages where they are not there yet. */
export function makeContents(): void {
  mkdirSync(shared, { recursive: true });
  if (existsSync(contents)) return;
  removeOldContents();
  const whole = mkdtempSync(join(shared, 'new-'));
  makeSmallMirror(join(whole, basename(smallMirror)));
  const fresh = join(whole, basename(layers));
  cpSync(join(checkout, 'overlays'), fresh, { recursive: true, verbatimSymlinks: true });
  for (const [path, text] of Object.entries(smallPackages)) writeFileSync(join(fresh, path), text);
  const kernelLayer = join(fresh, 'target/vm/base/debian/layer.yaml');
  // Its script comes with openrc.
  writeFileSync(kernelLayer, readFileSync(kernelLayer, 'utf8').replace('cgroups, ', ''));
  try {
    renameSync(whole, contents);
  } catch {
    // Another test file was first.
    rmSync(whole, { recursive: true });
  }
}

/** Those of other states of the layers, unless somebody may still use them. */
function removeOldContents(): void {
  const yesterday = Date.now() - 86_400_000;
  for (const name of readdirSync(shared)) {
    const path = join(shared, name);
    if (name !== 'lock' && lstatSync(path).mtimeMs < yesterday)
      rmSync(path, { recursive: true, force: true });
  }
}

function contentsDigest(): string {
  const hash = createHash('sha256').update(JSON.stringify(smallPackages));
  hash.update(readFileSync(join(import.meta.dirname, 'small-packages.ts')));
  const overlays = join(checkout, 'overlays');
  for (const path of listAll(overlays)) {
    const stat = lstatSync(join(overlays, path));
    hash.update(`${path} ${stat.mode}\n`);
    if (stat.isFile()) hash.update(readFileSync(join(overlays, path)));
  }
  return hash.digest('hex').slice(0, 12);
}

/** A directory below /tmp (short: GnuPG's sockets lie in it) that disappears with the test. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'tb-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** The same, that disappears with the test file. Not for use in tests. */
export function fileDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'tb-'));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A workspace in which the image was built before. */
export function builtWorkspace(at = temporaryDirectory(), target: SmallTarget = 'lxc'): string {
  copyInto(at, target, ['.treeline', 'out']);
  return at;
}

/** A workspace with a filled cache and the shared signing key, in which nothing was built yet. */
export function filledWorkspace(at = temporaryDirectory(), target: SmallTarget = 'lxc'): string {
  copyInto(at, target, ['.treeline']);
  forgetBuilds(at);
  return at;
}

function forgetBuilds(workspace: string): void {
  const built = ['repo/refs/heads/treeline', 'cache/commits', 'builds', 'lock', 'logs'].map(
    (name) => `.treeline/${name}`,
  );
  for (const name of [...built, 'out']) rmSync(join(workspace, name), { recursive: true, force: true });
  execFileSync('ostree', [`--repo=${join(workspace, '.treeline/repo')}`, 'prune', '--refs-only'], {
    stdio: 'ignore',
  });
}

function copyInto(directory: string, target: SmallTarget, names: readonly string[]): void {
  const [program, ...args] = [...exclusive, 'cp', '-a', '--reflink=auto', '--sparse=always'];
  execFileSync(program!, [...args, ...names.map((name) => join(warm(target), name)), directory]);
}

/** The commit that an undisturbed build gives. */
export const undisturbedCommit = (target: SmallTarget): string =>
  readFileSync(join(warm(target), `.treeline/repo/refs/heads/${refPrefix}/${target}`), 'utf8').trim();

export interface State {
  /** Commits by ref; the cache's own refs are not the user's. */
  refs: Record<string, string>;
  /** Everything in the output directory. */
  output: string[];
  /** Unfinished work. */
  unfinished: string[];
}

/** Throws where an object of the repository is missing or damaged. */
export function checkRepository(workspace: string): void {
  execFileSync('ostree', [`--repo=${join(workspace, '.treeline/repo')}`, 'fsck', '--quiet'], {
    stdio: 'pipe',
  });
}

/** What a user's workspace holds. */
export function stateOf(workspace: string): State {
  const state = join(workspace, '.treeline');
  const repo = join(state, 'repo');
  const heads = join(repo, 'refs/heads');
  const refs = listAll(join(heads, 'treeline'))
    .map((name) => `treeline/${name}`)
    .filter((ref) => lstatSync(join(heads, ref)).isFile())
    .map((ref) => [ref, readFileSync(join(heads, ref), 'utf8').trim()] as const);
  const output = join(workspace, 'out');
  return {
    refs: Object.fromEntries(refs),
    output: listAll(output).filter((path) => !path.startsWith('.staging')),
    unfinished: [...listAll(join(state, 'tmp')), ...listAll(join(output, '.staging'))],
  };
}

/** Builds the small tree for `lxc`. */
export const buildSmall = (
  workspace: string,
  options: readonly string[] = [],
  how: How = {},
): Promise<Ended> => runProgram('build-lxc', ['--workspace', workspace, ...smallTree, ...options], how);

/** Asserts that such a build works, and gives what an undisturbed one gives: in the end, or after whatever came before. */
export async function expectGoodBuild(
  workspace: string,
  options: readonly string[] = [],
  how: How = {},
): Promise<void> {
  expectSuccess(await buildSmall(workspace, options, how));
  expect(stateOf(workspace)).toMatchObject({
    refs: { [`${refPrefix}/lxc`]: undisturbedCommit('lxc') },
    unfinished: [],
  });
  checkRepository(workspace);
}

function listAll(directory: string): string[] {
  return existsSync(directory)
    ? readdirSync(directory, { recursive: true, encoding: 'utf8' }).toSorted()
    : [];
}
