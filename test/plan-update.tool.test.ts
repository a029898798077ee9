import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { planUpdate } from '../src/plan-update.ts';
import { publishIndex } from '../src/release/publish-index.ts';
import { nextIndex, readIndex, updatesDirectory } from '../src/release/update-index.ts';
import { makeProvenDeltas } from '../src/update-deltas.ts';
import { repository } from './ostree/small-repository.ts';

/** Two releases, and the deltas to the second one published; `plan` gives the starts of the deltas that are to be made. */
async function published() {
  const made = await repository();
  const { host, keys } = made;
  const first = await made.commit('one');
  const second = await made.commit('two', first);
  const deltas = await makeProvenDeltas(
    host,
    [first, undefined].map((from) => ({ from, to: second })),
  );
  const index = nextIndex(await readIndex(host.workspace), [{ commit: second, before: [first.id] }], deltas);
  await publishIndex(host, { index, deltas, keys, validDays: 90 });
  const programs = (): number => readFileSync(host.log.path, 'utf8').match(/^ *[\d.]+ \+ /gm)?.length ?? 0;
  const plan = async (commit = second) => {
    const before = programs();
    const planned = await planUpdate(host, commit, { index, keys, count: 1 });
    return {
      head: planned.head,
      starts: planned.deltas.map(({ from }) => from?.id),
      programs: programs() - before,
    };
  };
  return { ...made, first, second, plan, directory: updatesDirectory(host.workspace), index };
}

it('where all is published, nothing is to be made, and no key is looked into to find that out', async () => {
  const { plan, first, second } = await published();
  const { programs, ...planned } = await plan();
  expect(planned).toEqual({ head: { commit: second, before: [first.id] }, starts: [] });
  // The release before is read, and that is all.
  expect(programs).toBe(1);
});

it('a delta that is lost is made again', async () => {
  const { plan, first, second, directory, index } = await published();
  rmSync(join(directory, index.deltas.find(({ from }) => from === first.id)!.file));
  const { programs, ...planned } = await plan();
  expect(planned).toEqual({ head: { commit: second, before: [first.id] }, starts: [first.id] });
  expect(programs).toBeGreaterThan(1);
});

it('deltas lead to a new release from the one that is offered, and from nothing', async () => {
  const { plan, commit, second } = await published();
  const third = await commit('three', second);
  expect(await plan(third)).toMatchObject({
    head: { commit: third, before: [second.id] },
    starts: [second.id, undefined],
  });
});
