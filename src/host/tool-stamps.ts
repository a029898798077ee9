import { statSync } from 'node:fs';
import { join } from 'node:path';
import { minimalEnvironment } from './environment.ts';

/**
 * What stands for the versions of programs on the PATH (names) and of files (absolute): size and time of last change,
 * which a package manager sets with every version. Quicker than to ask each program.
 */
export function toolStamps(names: readonly string[]): Record<string, string> {
  const directories = minimalEnvironment().PATH.split(':');
  return Object.fromEntries(
    names.map((name) => {
      const places = name.startsWith('/') ? [name] : directories.map((directory) => join(directory, name));
      const found = places.map((path) => statSync(path, { throwIfNoEntry: false })).find(Boolean);
      return [`tool ${name}`, found === undefined ? 'none' : `${found.size} ${found.mtimeMs}`];
    }),
  );
}
