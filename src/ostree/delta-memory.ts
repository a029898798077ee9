import type { DeltaPart } from './delta-file.ts';

/** What ostree needs whatever it applies, some mapped pages among it; measured, see docs/decisions/0027-same-deltas.md. */
const base = 12 << 20;
const step = 1 << 20;

/**
 * Bytes of memory that applying a delta needs, rounded up to whole MiB: what cannot be dropped while one part after the other
 * is applied. Each is decompressed first, with a dictionary that is given back; then the new objects of a delta between two
 * commits are put together in memory, one at a time, in a buffer that malloc(3) may keep. Mapped files do not count.
 */
export function memoryToApply({
  from,
  parts,
}: {
  from: string | undefined;
  parts: readonly Pick<DeltaPart, 'objectBytes' | 'dictionaryBytes'>[];
}): number {
  let [kept, most] = [0, 0];
  for (const { objectBytes, dictionaryBytes } of parts) {
    most = Math.max(most, kept + dictionaryBytes);
    // From nothing, there is nothing to put an object together from: they are written as they are.
    if (from !== undefined) kept = Math.max(kept, objectBytes);
  }
  return Math.ceil((base + Math.max(most, kept)) / step) * step;
}
