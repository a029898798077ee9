import type { Commit } from '../model.ts';

/** A delta to make; `from` undefined: from nothing. */
export interface PlannedDelta {
  from: Commit | undefined;
  to: Commit;
}

/**
 * Which deltas lead to `commit`: from each of its last releases, from the commit that was last offered, and from nothing,
 * less those that exist. A commit that follows on none needs none: whoever has it got it as an image.
 */
export function planDeltas(
  commit: Commit,
  facts: {
    /** The releases before it to start from, newest first. */
    before: readonly Commit[];
    offered: Commit | undefined;
    existing: readonly { from: string | null; to: string }[];
  },
): PlannedDelta[] {
  const { before, offered, existing } = facts;
  const known = [...before, ...(offered === undefined ? [] : [offered])].filter(({ id }) => id !== commit.id);
  const starts = [...new Map(known.map((start) => [start.id, start])).values()];
  if (starts.length === 0) return [];
  const made = (from: Commit | undefined): boolean =>
    existing.some((delta) => delta.to === commit.id && delta.from === (from?.id ?? null));
  return [...starts, undefined].filter((from) => !made(from)).map((from) => ({ from, to: commit }));
}
