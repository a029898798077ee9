import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inject } from 'vitest';
import { lacks } from '../helpers/needs.ts';
import type { BuiltVersion, Images } from './images.ts';

/** What the last service of the default runlevel writes to the console. */
export const readyMarker = 'treeline: default runlevel reached, 0 services failed';

/** The images of the set-up, or why a test file that needs these programs is skipped. In CI the latter throws. */
export function givenImages(programs: readonly string[]): { images: Images; skipped: string | undefined } {
  const provided = inject('images');
  const skipped = lacks({ programs, root: true }) ?? ('missing' in provided ? provided.missing : undefined);
  // Where all is skipped nobody reads them.
  return { images: provided as Images, skipped };
}

/** A describe block's title: what it is about, and why it is skipped where it is. */
export const titled = (title: string, skipped: string | undefined): string =>
  skipped === undefined ? title : `${title} (skipped: ${skipped})`;

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

/** Prints a figure that people compare from run to run. */
export const measured = (what: string, value: string): void =>
  void process.stderr.write(`e2e measured: ${what}: ${value}\n`);

export const seconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(1)} s`;
