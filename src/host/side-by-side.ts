import { availableParallelism } from 'node:os';
import PQueue from 'p-queue';

/**
 * How many programs with one thread each run side by side: as many as there are processors, at least two, at most eight.
 * None of those that are run this way takes more than 100 MB.
 */
const programs = Math.min(8, Math.max(2, availableParallelism()));

/** Does all of it, so many at a time; the results in the order of the work. Rejects with the first error. */
export const sideBySide = <T>(work: readonly (() => Promise<T>)[], atOnce = programs): Promise<T[]> =>
  new PQueue({ concurrency: atOnce }).addAll(work);
