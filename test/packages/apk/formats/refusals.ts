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
