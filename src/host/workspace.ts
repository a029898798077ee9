import { join, resolve } from 'node:path';
import { makeWritableDirectory } from './writable.ts';

/** Where one project keeps what it builds. All paths are absolute. */
export interface Workspace {
  /** The directory that holds the rest; the checkout by default. */
  readonly root: string;
  /** The user's choices that outlast a command (`treeline.yaml`). */
  readonly settingsFile: string;
  /** What people download. */
  readonly output: string;
  /** State that a person need not look at: repository, cache, keys, logs, unfinished work. */
  readonly state: string;
  readonly repository: string;
  readonly cache: string;
  readonly keys: string;
  readonly logs: string;
  /** Unfinished work; emptied when a command that holds the lock begins. */
  readonly temporary: string;
  readonly lockFile: string;
}

/** `root` may be relative to the current directory; `output` defaults to `<root>/out`. */
export function openWorkspace(root: string, output?: string): Workspace {
  const base = resolve(root);
  const state = join(base, '.treeline');
  return {
    root: base,
    settingsFile: join(base, 'treeline.yaml'),
    output: output === undefined ? join(base, 'out') : resolve(output),
    state,
    repository: join(state, 'repo'),
    cache: join(state, 'cache'),
    keys: join(state, 'keys'),
    logs: join(state, 'logs'),
    temporary: join(state, 'tmp'),
    lockFile: join(state, 'lock'),
  };
}

/** Makes the directories that every building command needs. Throws 'host' where the place cannot be written to. */
export function prepareWorkspace({ output, logs }: Workspace): void {
  makeWritableDirectory(logs, '--workspace');
  makeWritableDirectory(output, '--output');
}
