import { TreelineError } from '../../../../src/host/errors.ts';

/** The TreelineError that the work throws; anything else, success as well, is thrown. */
export function refusalOf(work: () => unknown): TreelineError {
  let result: unknown;
  try {
    result = work();
  } catch (error) {
    if (error instanceof TreelineError) return error;
    throw error;
  }
  throw new Error(`no error, but ${JSON.stringify(result)}`);
}

/** Seconds of processor time that the work takes: unlike the clock, other processes do not count. */
export function processorTime(work: () => void): number {
  const start = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1e6;
}
