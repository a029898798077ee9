import { basename, dirname, join } from 'node:path';
import { listNames, makeDirectory, move, pathExists, remove } from './files.ts';

const inTheMaking = new Map<string, Promise<void>>();

/**
 * Makes what several may want at the same moment, where it is not there yet. `make` gets a path beside `place` that does
 * not exist, on the same file system; the result is renamed to `place` when it is whole, so that nobody ever sees a part
 * of it. Who asks in this process meanwhile waits for it; of several processes the first to be ready counts. Where `make`
 * fails, all who wait get its error, and the next to ask tries again.
 *
 * `isWhole`: whether what is at `place` is all of it. What is not, an empty directory of the user's or one that was left
 * unfinished, is completed where it is: `make` must be able to do that, too.
 */
export function makeOnce(
  place: string,
  make: (path: string) => Promise<void>,
  isWhole: () => Promise<boolean> = () => pathExists(place),
): Promise<void> {
  const running = inTheMaking.get(place);
  if (running !== undefined) return running;
  const work = makeWhereMissing(place, make, isWhole).finally(() => inTheMaking.delete(place));
  inTheMaking.set(place, work);
  return work;
}

async function makeWhereMissing(
  place: string,
  make: (path: string) => Promise<void>,
  isWhole: () => Promise<boolean>,
): Promise<void> {
  if (await isWhole()) return;
  if (await pathExists(place)) return make(place);
  await makeDirectory(dirname(place));
  await removeAbandoned(place);
  const beside = besideOf(place, process.pid);
  try {
    await make(beside);
    await move(beside, place);
  } catch (error) {
    await remove(beside);
    // A directory is not renamed over one that holds something: another process was quicker.
    if (!isTaken(error) || !(await isWhole())) throw error;
  }
}

const besideOf = (place: string, pid: number | string): string =>
  join(dirname(place), `.${basename(place)}.${pid}`);

const isTaken = (error: unknown): boolean =>
  ['ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '');

/** What processes that were killed have left. */
async function removeAbandoned(place: string): Promise<void> {
  const start = basename(besideOf(place, ''));
  for (const name of await listNames(dirname(place))) {
    const pid = name.startsWith(start) ? name.slice(start.length) : '';
    if (/^\d+$/.test(pid) && !isRunning(Number(pid))) await remove(join(dirname(place), name));
  }
}

function isRunning(pid: number): boolean {
  // Our own name is taken by nobody but an earlier process of the same number.
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Another user's.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
