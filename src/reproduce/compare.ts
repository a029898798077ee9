import { join } from 'node:path';
import type { Entry } from '../host/files.ts';
import { listTree } from '../host/files.ts';
import { firstDifference } from '../host/first-difference.ts';

/** One thing in which two directories are not the same. */
export interface Difference {
  /** Of the file, below both directories. */
  path: string;
  /** What it is, in words. */
  what: string;
  /** The first byte that is another one, where both have a file that can be read to there. */
  offset?: number;
}

export interface Rules {
  skip: (path: string) => boolean;
  nameOnly: (path: string) => boolean;
  /** Whether modes count. */
  modes: boolean;
}

export interface Comparison {
  differences: readonly Difference[];
  /** How much was compared. */
  files: number;
  bytes: number;
}

/**
 * Compares two directories: which files there are, their kinds, modes, link targets, lengths and every byte; times and owners
 * do not count. `nameOnly`: files whose content is not compared; `skip`: what is left out with all below it.
 */
export async function compareDirectories(here: string, elsewhere: string, rules: Rules): Promise<Comparison> {
  const [ours, theirs] = await Promise.all([here, elsewhere].map((directory) => entriesOf(directory, rules)));
  const paths = [...new Set([...ours!.keys(), ...theirs!.keys()])].toSorted();
  const differences: Difference[] = [];
  for (const path of paths) {
    const [one, other] = [ours!.get(path), theirs!.get(path)];
    const rough = compareEntries(path, one, rules.modes ? other : withModeOf(one, other));
    if (rough !== undefined) differences.push(rough);
    if (one?.kind !== 'file' || other?.kind !== 'file' || rules.nameOnly(path)) continue;
    const offset = await firstDifference(join(here, path), join(elsewhere, path));
    if (offset === undefined) continue;
    const lengths = one.size === other.size ? '' : `, ${one.size} bytes here, ${other.size} elsewhere`;
    differences.push({ path, what: `other bytes from ${offset} on${lengths}`, offset });
  }
  const files = [...ours!.values()].filter(({ kind }) => kind === 'file');
  return { differences, files: files.length, bytes: files.reduce((sum, { size }) => sum + size, 0) };
}

async function entriesOf(
  directory: string,
  { skip }: { skip: (path: string) => boolean },
): Promise<Map<string, Entry>> {
  const entries = (await listTree(directory)).filter(({ path }) => {
    const parts = path.split('/');
    return !parts.some((_, index) => skip(parts.slice(0, index + 1).join('/')));
  });
  return new Map(entries.map((entry) => [entry.path, entry]));
}

const withModeOf = (one: Entry | undefined, other: Entry | undefined): Entry | undefined =>
  one === undefined || other === undefined ? other : { ...other, mode: one.mode };

function compareEntries(
  path: string,
  one: Entry | undefined,
  other: Entry | undefined,
): Difference | undefined {
  if (one === undefined || other === undefined)
    return { path, what: `missing ${one === undefined ? 'here' : 'elsewhere'}` };
  if (one.kind !== other.kind) return { path, what: `a ${one.kind} here, a ${other.kind} elsewhere` };
  if (one.link !== other.link)
    return { path, what: `a link to ${one.link} here, to ${other.link} elsewhere` };
  if (one.mode === other.mode) return undefined;
  const [ours, theirs] = [one, other].map(({ mode }) => mode.toString(8).padStart(4, '0'));
  return { path, what: `mode ${ours} here, ${theirs} elsewhere` };
}
