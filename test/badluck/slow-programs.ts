import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryDirectory } from './workspaces.ts';

/**
 * A program and its arguments that run a build in which some programs begin a while later: a moment at which one of them
 * runs is never missed. `when`: by a program's name, the pattern of a shell's `case` that its arguments fit, with spaces
 * around them. The scripts that wait have the programs' names, and lie where a build's PATH begins.
 */
export function slowPrograms(seconds: number, when: Readonly<Record<string, string>>): readonly string[] {
  const directory = temporaryDirectory();
  for (const [name, pattern] of Object.entries(when)) {
    const text = `#!/bin/sh\ncase " $* " in ${pattern}) sleep ${seconds} ;; esac\nexec /usr/bin/${name} "$@"\n`;
    writeFileSync(join(directory, name), text, { mode: 0o755 });
  }
  const mount = 'mount --bind "$0" /usr/local/sbin && exec "$@"';
  return ['unshare', '--mount', 'sh', '-c', mount, directory];
}
