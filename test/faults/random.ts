/** Numbers that look random and follow from a seed alone, so that a failure can be repeated. */
export interface Random {
  /** 0 ≤ fraction < 1. */
  fraction(): number;
  /** 0 ≤ integer < limit. */
  below(limit: number): number;
  pick<T>(values: readonly T[]): T;
}

/** `seed`: any 32-bit integer. The generator is Mulberry32. */
export function seededRandom(seed: number): Random {
  let state = seed | 0;
  const fraction = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (limit: number): number => Math.floor(fraction() * limit);
  return { fraction, below, pick: (values) => values[below(values.length)]! };
}
