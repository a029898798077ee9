import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { inject } from 'vitest';
import { lacks } from '../helpers/needs.ts';
import type { AlpineImages, BuiltVersion, DebianImages, Images, Outcome } from './images.ts';

export interface Given<T> {
  images: Images;
  /** Those of the base that the test file is about. */
  versions: T;
  /** Whether the tests of this file cannot run here. In CI that is an error instead. */
  skipped: boolean;
  /** Why, to be put behind a title; empty where they run. */
  note: string;
}

/** The images of the set-up, for a test file that needs these programs; waits until they are built. */
export const givenImages = (programs: readonly string[]): Promise<Given<DebianImages>> =>
  given(programs, (images) => images.debian);

/** The same of Alpine. */
export const givenAlpine = (programs: readonly string[]): Promise<Given<AlpineImages>> =>
  given(programs, (images) => images.alpine);

async function given<T extends object>(
  programs: readonly string[],
  choose: (images: Images) => T | { missing: string },
): Promise<Given<T>> {
  const outcome = await readOutcome(inject('imagesOutcome'));
  if ('failed' in outcome) throw new Error(`the images could not be built: ${outcome.failed}`);
  const chosen = 'missing' in outcome ? outcome : choose(outcome.images);
  const reason = lacks({ programs, root: true }) ?? ('missing' in chosen ? chosen.missing : undefined);
  return {
    // Where all is skipped nobody reads them.
    images: ('images' in outcome ? outcome.images : undefined) as Images,
    versions: chosen as T,
    skipped: reason !== undefined,
    note: reason === undefined ? '' : ` (skipped: ${reason})`,
  };
}

async function readOutcome(file: string): Promise<Outcome> {
  while (!existsSync(file)) await sleep(200);
  return JSON.parse(await readFile(file, 'utf8')) as Outcome;
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
