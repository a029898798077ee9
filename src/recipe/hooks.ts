import { join } from 'node:path';
import { readBytesAt, readEntry, realPath } from '../host/files.ts';
import { knownNamesHint } from '../host/nearest.ts';
import { hookPhases } from '../model.ts';
import type { Hook, HookPhase, Origin } from '../model.ts';
import { isOwnFile } from './layer-text.ts';
import { visibleNames } from './layers.ts';
import type { FoundLayer } from './layers.ts';
import { compareText } from './problems.ts';
import type { Problems } from './problems.ts';

const directories: ReadonlyMap<string, HookPhase> = new Map(hookPhases.map((phase) => [`${phase}.d`, phase]));
const hookName = /^[0-9]{2}-[A-Za-z0-9._-]+$/;

/** The hooks of one layer, from `hooks/<phase>.d/NN-name`. */
export async function readHooks(layer: FoundLayer, problems: Problems): Promise<Hook[]> {
  const root = join(layer.directory, 'hooks');
  if (!(await isDirectory(layer, root, problems))) return [];
  const hooks: Hook[] = [];
  for (const directory of await visibleNames(root)) {
    const phase = directories.get(directory);
    const path = join(root, directory);
    if (phase === undefined) {
      problems.add(
        { layer: layer.name, file: path },
        `there is no phase ${directory}. ${knownNamesHint(directory, [...directories.keys()])}`,
      );
    } else if (await isDirectory(layer, path, problems)) {
      for (const name of await visibleNames(path)) {
        const origin = { layer: layer.name, file: join(path, name) };
        if (await isUsable(layer, name, origin, problems))
          hooks.push({ phase, name, path: origin.file, origin });
      }
    }
  }
  return hooks;
}

async function isDirectory(layer: FoundLayer, path: string, problems: Problems): Promise<boolean> {
  const kind = (await readEntry(path))?.kind;
  if (kind === undefined || kind === 'directory') return kind === 'directory';
  problems.add({ layer: layer.name, file: path }, 'must be a real directory, not a link or a file');
  return false;
}

async function isUsable(
  layer: FoundLayer,
  name: string,
  origin: Origin,
  problems: Problems,
): Promise<boolean> {
  if (!hookName.test(name)) {
    problems.add(origin, 'a hook is named by two digits, which order it, a dash and a name: 50-example');
    return false;
  }
  if (!(await isOwnFile(layer, origin, problems))) return false;
  const real = await realPath(origin.file);
  if (((await readEntry(real))!.mode & 0o100) === 0) {
    problems.add(origin, `is not executable (chmod +x ${origin.file})`);
  } else if (!canRun(await readBytesAt(real, 0, 4))) {
    problems.add(origin, 'is neither a script, which begins with #!, nor an ELF program');
  }
  return true;
}

const canRun = (start: Buffer): boolean =>
  ['#!', '\u007fELF'].some((magic) => start.toString('latin1').startsWith(magic));

/** All hooks in the order they run; one of a phase and name in a more specific layer replaces the general one. */
export function mergeHooks(lists: readonly (readonly Hook[])[]): {
  hooks: Hook[];
  replaced: Map<string, Origin[]>;
} {
  const merged = new Map<string, Hook>();
  const replaced = new Map<string, Origin[]>();
  for (const hook of lists.flat()) {
    const key = hookKey(hook);
    const general = merged.get(key);
    if (general !== undefined) replaced.set(key, [...(replaced.get(key) ?? []), general.origin]);
    merged.set(key, hook);
  }
  return {
    hooks: [...merged.values()].toSorted(
      (one, two) => rank(one) - rank(two) || compareText(one.name, two.name),
    ),
    replaced,
  };
}

export const hookKey = ({ phase, name }: Hook): string => `${phase}/${name}`;

const rank = ({ phase }: Hook): number => hookPhases.indexOf(phase);
