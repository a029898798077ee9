import type { Origin } from '../model.ts';
import type { Problems } from './problems.ts';

/** A value, and where a person wrote it. */
export interface Stated<T = string> {
  value: T;
  origin: Origin;
}

/** Something that a general layer asked for and a more specific one took back. */
export interface Removal {
  value: string;
  asked: Origin;
  removed: Origin;
}

/**
 * The one rule by which lists are inherited: entries append, an entry that is there already stays where it is, and
 * `entry-` takes back what a more general layer asked for (nothing happens where none did). Each inner list is one
 * file's, general to specific; asking and taking back in the same file is a problem.
 */
export function mergeLists(
  lists: readonly (readonly Stated[])[],
  problems: Problems,
): { kept: Stated[]; removed: Removal[] } {
  const kept = new Map<string, Stated>();
  const removed: Removal[] = [];
  for (const list of lists) {
    const takenBack = list.filter(isRemoval).map((entry) => ({ ...entry, value: entry.value.slice(0, -1) }));
    const asked = list.filter((entry) => !isRemoval(entry));
    for (const { value, origin } of takenBack) {
      const general = kept.get(value);
      const contradiction = asked.find((entry) => entry.value === value);
      if (contradiction !== undefined) {
        const line = contradiction.origin.line ?? 0;
        problems.add(origin, `takes ${value} back, which line ${line} of the same file asks for`);
      }
      if (general === undefined) continue;
      kept.delete(value);
      removed.push({ value, asked: general.origin, removed: origin });
    }
    for (const entry of asked) if (!kept.has(entry.value)) kept.set(entry.value, entry);
  }
  return { kept: [...kept.values()], removed };
}

const isRemoval = ({ value }: Stated): boolean => value.endsWith('-');
