import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import type { TestProject } from 'vitest/node';
import { findMissing } from '../../src/host/tools.ts';
import type { Manifest, Target } from '../../src/model.ts';
import type { AlpineMirror } from '../helpers/alpine-mirror.ts';
import { makeAlpineMirror } from '../helpers/alpine-mirror.ts';
import type { KeyPair } from '../helpers/ssh.ts';
import { helloOne, helloTwo } from './alpine-packages.ts';
import { changeOverlay, writeOverlay } from './overlay.ts';
import { runScriptText } from './program.ts';
import { startServe } from './server.ts';
import { alpineRelease } from '../helpers/alpine-fetch.ts';
import { alpineMissing } from '../helpers/alpine-repository.ts';

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

/** Or why there are none. */
export type ProvidedImages = Images | { missing: string };

declare module 'vitest' {
  interface ProvidedContext {
    images: ProvidedImages;
  }
}

const targets = ['vm', 'lxc', 'ovz'] as const;
// A delta from nothing costs a minute; two containers of one base would hardly differ.
const updatedAlpine = ['vm', 'lxc'] as const;
type UpdatedAlpine = (typeof updatedAlpine)[number];

const debianBase = 'debian-12';
const alpineBase = `alpine-${alpineRelease}`;

/**
 * Builds version one of every base and target with a user's own overlay, changes the overlay and the packages, and builds
 * the update, all by the scripts that npm runs. TREELINE_TEST_KEEP=1 keeps the directory and prints its name; TREELINE_TEST_IMAGES=DIR takes one
 * that was kept before instead of building.
 */
export async function setup(project: TestProject): Promise<void | (() => Promise<void>)> {
  const missing = whatBuildsLack();
  if (missing !== undefined) {
    project.provide('images', { missing });
    return;
  }
  const kept = process.env['TREELINE_TEST_IMAGES'] ?? '';
  const directory = kept === '' ? await mkdtemp(join(tmpdir(), 'treeline-e2e-')) : kept;
  const leave = kept === '' ? () => removeUnlessKept(directory) : async () => {};
  try {
    const images = kept === '' ? await buildImages(directory) : await readImages(directory);
    const server = await timed('npm run serve', () => startServe(images.workspace));
    project.provide('images', { ...images, serverPort: server.port });
    return async () => {
      await server.stop();
      await leave();
    };
  } catch (error) {
    await leave();
    throw error;
  }
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

async function buildImages(directory: string): Promise<BuiltImages> {
  const workspace = join(directory, 'workspace');
  const overlay = join(directory, 'overlay');
  const key = await makeKey(directory);
  await writeOverlay(overlay);
  const options = ['--workspace', workspace, '--overlay', overlay, '--ssh-key', key.publicKey];
  const build = (base: string, target: Target, more: readonly string[] = []): Promise<string> =>
    timed(`building ${base} for ${target}`, () =>
      runScriptText(`build-${target}`, [...options, '--base', base, ...more]),
    );
  for (const target of targets) await build(debianBase, target);
  const mirror = alpineMissing === undefined ? await makeMirror(directory, workspace) : undefined;
  const fromMirror = ['--mirror', mirror?.directory ?? '', '--overlay', mirror?.overlay ?? ''];
  if (mirror !== undefined) {
    const added = ['zram', 'tweaks', 'auto-upgrade', 'chrony'].flatMap((name) => ['--service', name]);
    await build(alpineBase, 'vm', [...fromMirror, ...added]);
    await build(alpineBase, 'lxc', fromMirror);
  }
  const first = {
    debian: await readVersions(workspace, debianBase, targets),
    alpine: mirror && (await readVersions(workspace, alpineBase, updatedAlpine)),
  };

  await changeOverlay(overlay);
  await mirror?.publish({ release: 'second', extra: [helloTwo] });
  await timed('building the update of all, with deltas', () =>
    runScriptText('build-update', ['--workspace', workspace]),
  );
  if (mirror !== undefined)
    await build(alpineBase, 'ovz', [...fromMirror, '--service', 'sshd-', '--service', 'dropbear']);
  const second = {
    debian: await readVersions(workspace, debianBase, targets),
    alpine: mirror && (await readVersions(workspace, alpineBase, targets)),
  };
  const images: BuiltImages = {
    workspace,
    overlay,
    key,
    debian: { first: first.debian, second: second.debian },
    alpine:
      first.alpine && second.alpine
        ? { first: first.alpine, second: second.alpine }
        : { missing: alpineMissing ?? '' },
  };
  await writeFile(join(directory, 'images.json'), JSON.stringify(images));
  return images;
}

/** Of the packages that the Debian images have fetched. */
const makeMirror = (directory: string, workspace: string): Promise<AlpineMirror> =>
  timed('making an Alpine mirror', async () => {
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
  const result = await work();
  say(`${what}: ${((performance.now() - start) / 1000).toFixed(1)} s`);
  return result;
}

const say = (text: string): void => void process.stderr.write(`e2e images: ${text}\n`);
