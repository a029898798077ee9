import { appendFileSync } from 'node:fs';

/** What the minutes of a run go into, besides the tests' own work; see `npm test -- --times`. */
export type Spending =
  'images' | 'guest starts' | 'upgrades in guests' | 'further versions' | 'container starts';

/** Notes how long a piece of work took, where `npm test -- --times` wants to know. `what`: of images, the step. */
export async function spending<T>(kind: Spending, work: () => Promise<T>, what = ''): Promise<T> {
  const began = performance.now();
  try {
    return await work();
  } finally {
    const file = process.env['TREELINE_TEST_TIMES'];
    if (file !== undefined)
      appendFileSync(
        file,
        `${JSON.stringify({ kind, what, seconds: (performance.now() - began) / 1000 })}\n`,
      );
  }
}
