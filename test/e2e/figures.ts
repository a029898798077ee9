import { join } from 'node:path';
import type { BuiltVersion } from './images.ts';

/** What the last service of the default runlevel tells the system's log, and the console with its name in front. */
export const readyMessage = 'default runlevel reached, 0 services failed';
export const readyMarker = `treeline: ${readyMessage}`;

/** The path of a version's artifact whose name ends so. */
export function artifact({ directory, manifest }: BuiltVersion, suffix: string): string {
  const found = manifest.artifacts.find(({ file }) => file.endsWith(suffix));
  if (found === undefined) throw new Error(`${directory} has no *${suffix}`);
  return join(directory, found.file);
}

/** Prints a figure that people compare from run to run. */
export const measured = (what: string, value: string): void =>
  void process.stderr.write(`e2e measured: ${what}: ${value}\n`);

export const seconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(1)} s`;
