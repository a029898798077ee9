import type { Commit } from '../model.ts';

/** A delta to make; `from` undefined: from nothing. */
export interface PlannedDelta {
  from: string | undefined;
  to: Commit;
}

/**
 * Which deltas lead to `commit`: from its parent, from the commit that was last offered, and from nothing, less those
 * that exist. A commit without a parent, never offered before, needs none: whoever has it got it as an image.
 */
export function planDeltas(
  commit: Commit,
  {
    offered,
    existing,
  }: { offered: string | undefined; existing: readonly { from: string | null; to: string }[] },
): PlannedDelta[] {
  const starts = [...new Set([commit.parent, offered])].filter((id) => id !== undefined && id !== commit.id);
  if (starts.length === 0) return [];
  const made = (from: string | undefined): boolean =>
    existing.some((delta) => delta.to === commit.id && delta.from === (from ?? null));
  return [...starts, undefined].filter((from) => !made(from)).map((from) => ({ from, to: commit }));
}
