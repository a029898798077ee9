import { availableParallelism } from 'node:os';
import PQueue from 'p-queue';
import { underWay } from './under-way.ts';

/**
 * How many programs with one thread each run side by side: as many as there are processors, at least two, at most eight.
 * None of those that are run this way takes more than 100 MB.
 */
const programs = Math.min(8, Math.max(2, availableParallelism()));

/**
 * Does all of it, so many at a time; the results in the order of the work. Rejects with the first error: what has not begun
 * then is not begun, and what has is under way (see under-way.ts) until it ends.
 */
export async function sideBySide<T>(work: readonly (() => Promise<T>)[], atOnce = programs): Promise<T[]> {
  const queue = new PQueue({ concurrency: atOnce });
  const one = async (each: () => Promise<T>): Promise<T> => {
    try {
      return await underWay(each());
    } catch (error) {
      queue.clear();
      throw error;
    }
  };
  return queue.addAll(work.map((each) => () => one(each)));
}
