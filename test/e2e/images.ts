import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import type { TestProject } from 'vitest/node';
import { findMissing } from '../../src/host/tools.ts';
import type { Manifest, Target } from '../../src/model.ts';
import type { KeyPair } from '../helpers/ssh.ts';
import { changeOverlay, writeOverlay } from './overlay.ts';
import { runScriptText } from './program.ts';

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
  first: Record<Target, BuiltVersion>;
  /** What build-update made of the changed overlay. */
  second: Record<Target, BuiltVersion>;
}

/** Or why there are none. */
export type ProvidedImages = Images | { missing: string };

declare module 'vitest' {
  interface ProvidedContext {
    images: ProvidedImages;
  }
}

const targets: readonly Target[] = ['vm', 'lxc', 'ovz'];

/**
 * Builds version one of every target with a user's own overlay, changes the overlay, and builds the update, all by the
 * scripts that npm runs. TREELINE_TEST_KEEP=1 keeps the directory and prints its name; TREELINE_TEST_IMAGES=DIR takes one
 * that was kept before instead of building.
 */
export async function setup(project: TestProject): Promise<void | (() => Promise<void>)> {
  const missing = whatBuildsLack();
  if (missing !== undefined) {
    project.provide('images', { missing });
    return;
  }
  const kept = process.env['TREELINE_TEST_IMAGES'];
  if (kept !== undefined && kept !== '') {
    project.provide('images', JSON.parse(await readFile(join(kept, 'images.json'), 'utf8')) as Images);
    return;
  }
  const directory = await mkdtemp(join(tmpdir(), 'treeline-e2e-'));
  try {
    const images = await buildImages(directory);
    await writeFile(join(directory, 'images.json'), JSON.stringify(images));
    project.provide('images', images);
  } catch (error) {
    await removeUnlessKept(directory);
    throw error;
  }
  return () => removeUnlessKept(directory);
}

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

async function buildImages(directory: string): Promise<Images> {
  const workspace = join(directory, 'workspace');
  const overlay = join(directory, 'overlay');
  const key = await makeKey(directory);
  await writeOverlay(overlay);
  const options = ['--workspace', workspace, '--overlay', overlay, '--ssh-key', key.publicKey];
  for (const target of targets) {
    await timed(`version one for ${target}`, () => runScriptText(`build-${target}`, options));
  }
  const first = await readVersions(workspace);
  await changeOverlay(overlay);
  await timed('the update of all, with deltas', () =>
    runScriptText('build-update', ['--workspace', workspace]),
  );
  return { workspace, overlay, key, first, second: await readVersions(workspace) };
}

async function makeKey(directory: string): Promise<KeyPair> {
  const privateKey = join(directory, 'id_ed25519');
  await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'treeline-e2e', '-f', privateKey]);
  const publicKey = `${privateKey}.pub`;
  return { privateKey, publicKey, line: (await readFile(publicKey, 'utf8')).trim() };
}

/** The newest version of every target. */
async function readVersions(workspace: string): Promise<Record<Target, BuiltVersion>> {
  const versions = await Promise.all(
    targets.map(async (target) => {
      const parent = join(workspace, 'out/debian-12/x86_64', target);
      const manifest = JSON.parse(await readFile(join(parent, 'latest/manifest.json'), 'utf8')) as Manifest;
      const directory = join(parent, manifest.version);
      if (!existsSync(directory)) throw new Error(`latest does not name ${directory}`);
      return [target, { directory, manifest }] as const;
    }),
  );
  return Object.fromEntries(versions) as Record<Target, BuiltVersion>;
}

async function timed(what: string, work: () => Promise<unknown>): Promise<void> {
  say(`building ${what}`);
  const start = performance.now();
  await work();
  say(`built ${what} in ${((performance.now() - start) / 1000).toFixed(1)} s`);
}

const say = (text: string): void => void process.stderr.write(`e2e images: ${text}\n`);
