import { accessSync, constants, mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { TreelineError } from './errors.ts';
import { systemReason } from './system-error.ts';

/**
 * Makes a directory (absolute) and those above it, and finds out whether this user may write into it. Throws
 * TreelineError 'host'; `option` names the option that chooses another one.
 */
export function makeWritableDirectory(path: string, option: string): void {
  try {
    // One by one: where the kernel lets nobody make a directory (/proc), Node's recursive mkdir never ends.
    for (const directory of [...missingAbove(path)].toReversed()) mkdirSync(directory);
    // A file in the place of the directory.
    accessSync(`${path}/.`, constants.W_OK | constants.X_OK);
  } catch (cause) {
    const reason =
      (cause as NodeJS.ErrnoException).code === 'ENOENT'
        ? 'no directory can be made there'
        : systemReason(cause);
    throw new TreelineError('host', `Cannot write into ${path}: ${reason}`, {
      hint: `Choose another directory with ${option} DIR.`,
      cause,
    });
  }
}

function* missingAbove(path: string): Generator<string> {
  for (let at = path; statSync(at, { throwIfNoEntry: false }) === undefined; at = dirname(at)) yield at;
}
