import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inject } from 'vitest';
import { lacks } from '../helpers/needs.ts';
import type { AlpineImages, BuiltVersion, DebianImages, Images } from './images.ts';

/** What the last service of the default runlevel tells the system's log, and the console with its name in front. */
export const readyMessage = 'default runlevel reached, 0 services failed';
export const readyMarker = `treeline: ${readyMessage}`;

export interface Given<T> {
  images: Images;
  /** Those of the base that the test file is about. */
  versions: T;
  /** Whether the tests of this file cannot run here. In CI that is an error instead. */
  skipped: boolean;
  /** Why, to be put behind a title; empty where they run. */
  note: string;
}

/** The images of the set-up, for a test file that needs these programs. */
export const givenImages = (programs: readonly string[]): Given<DebianImages> =>
  given(programs, (images) => images.debian);

/** The same of Alpine; skipped also in CI where Alpine's own packages are not at hand. */
export const givenAlpine = (programs: readonly string[]): Given<AlpineImages> =>
  given(programs, (images) => images.alpine);

function given<T extends object>(
  programs: readonly string[],
  choose: (images: Images) => T | { missing: string },
): Given<T> {
  const provided = inject('images');
  const chosen = 'missing' in provided ? provided : choose(provided);
  const reason = lacks({ programs, root: true }) ?? ('missing' in chosen ? chosen.missing : undefined);
  return {
    // Where all is skipped nobody reads them.
    images: provided as Images,
    versions: chosen as T,
    skipped: reason !== undefined,
    note: reason === undefined ? '' : ` (skipped: ${reason})`,
  };
}

/** The path of a version's artifact whose name ends so. */
export function artifact({ directory, manifest }: BuiltVersion, suffix: string): string {
  const found = manifest.artifacts.find(({ file }) => file.endsWith(suffix));
  if (found === undefined) throw new Error(`${directory} has no *${suffix}`);
  return join(directory, found.file);
}

export interface IndexedDelta {
  ref: string;
  from: string | null;
  to: string;
  file: string;
  bytes: number;
  sha256: string;
}

/** The update index's one delta that leads from one version to another. */
export async function findDelta(
  { workspace }: Images,
  from: BuiltVersion,
  to: BuiltVersion,
): Promise<IndexedDelta> {
  const index = JSON.parse(await readFile(join(workspace, 'out/updates/index.json'), 'utf8')) as {
    deltas: IndexedDelta[];
  };
  const [delta, ...more] = index.deltas.filter(
    (each) => each.from === from.manifest.commit && each.to === to.manifest.commit,
  );
  if (delta === undefined || more.length > 0) throw new Error(`not one delta, but ${more.length}`);
  return delta;
}

/** What `rc-status` says of each service: ` crond   [  started  ]`. */
export function serviceStates(text: string): { name: string; state: string }[] {
  return [...text.matchAll(/^ (\S+)\s+\[\s+(\S+)/gm)].map(([, name = '', state = '']) => ({ name, state }));
}

/** Prints a figure that people compare from run to run. */
export const measured = (what: string, value: string): void =>
  void process.stderr.write(`e2e measured: ${what}: ${value}\n`);

export const seconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(1)} s`;
