const promises = new Set<Promise<unknown>>();

/** Notes work that may write files until it has settled; gives it back. */
export function underWay<T>(work: Promise<T>): Promise<T> {
  promises.add(work);
  const forget = (): void => void promises.delete(work);
  work.then(forget, forget);
  return work;
}

/** Resolves when no such work is under way any more. After an abort: when nothing writes any more. */
export async function allWorkSettled(): Promise<void> {
  while (promises.size > 0) await Promise.allSettled(promises);
}
