import { join } from 'node:path';
import { listNames, makeDirectory, remove } from './host/files.ts';
import type { Host } from './host/host.ts';
import { sideBySide } from './host/side-by-side.ts';
import type { Delta } from './model.ts';
import { makeDelta } from './ostree/delta.ts';
import { makeKernelPair } from './ostree/kernel-pair.ts';
import { recallDelta, rememberDelta } from './ostree/known-deltas.ts';
import type { PlannedDelta } from './ostree/plan-deltas.ts';
import { proveDelta } from './ostree/prove-delta.ts';
import { deltaFileName, updatesDirectory } from './release/update-index.ts';

/** Those between two commits are made by a program with one thread and, for a kernel, 270 MB. */
const atOnce = 2;

/**
 * Makes the deltas of all images, with pairs for new kernels, and proves each, two at a time; those that were made and
 * proved before are taken from the cache. Throws 'update' where one is no good; what was proved until then is kept for the
 * next try.
 */
export async function makeProvenDeltas(host: Host, planned: readonly PlannedDelta[]): Promise<Delta[]> {
  const directory = join(host.workspace.output, '.staging', 'deltas');
  const parts = join(host.workspace.output, '.staging', 'delta-parts');
  const pathOf = ({ from, to }: PlannedDelta): string =>
    join(directory, deltaFileName(to.ref, from?.id, to.id));
  // Two requests may ask for the same image.
  const wanted = [...new Map(planned.map((delta) => [pathOf(delta), delta]))];
  let [done, made] = [0, 0];
  return host.stage(
    'deltas',
    async () => {
      await makeDirectory(directory);
      const deltas = await sideBySide(
        // Those from nothing last: several programs make one, so that none of the processors is idle in the end.
        wanted
          .toSorted(([, a], [, b]) => Number(a.from === undefined) - Number(b.from === undefined))
          .map(([path, delta]) => async () => {
            const known = await recallDelta(host, delta, path);
            if (known === undefined) made += 1;
            const proven = known ?? (await makeProven(host, { ...delta, path, parts }));
            done += 1;
            host.emit({
              type: 'stage-progress',
              stage: 'deltas',
              done,
              total: wanted.length,
              unit: 'deltas',
            });
            return proven;
          }),
        atOnce,
      );
      await remove(parts);
      return deltas;
    },
    () => ({ detail: detailOf(made, wanted.length - made), reused: made === 0 }),
  );
}

async function makeProven(
  host: Host,
  { from, to, path, parts }: PlannedDelta & { path: string; parts: string },
): Promise<Delta> {
  const updates = updatesDirectory(host.workspace);
  const earlier = (await listNames(updates)).filter((name) => /-from-nothing-.*\.delta$/.test(name));
  const files = earlier.map((name) => join(updates, name));
  const delta = await makeDelta(host, { from, to, path, earlier: files, parts });
  const proven = await proveDelta(host, delta, host.workspace.temporary);
  const paired = { ...proven, pair: await makeKernelPair(host, proven, host.workspace.temporary) };
  await rememberDelta(host, paired);
  return paired;
}

const detailOf = (made: number, known: number): string =>
  [made > 0 ? `${made} made and proved` : '', known > 0 ? `${known} from before` : '']
    .filter((part) => part !== '')
    .join(', ');
