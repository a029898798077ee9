import { readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { PlannedDelta } from '../src/ostree/plan-deltas.ts';
import { makeProvenDeltas } from '../src/update-deltas.ts';
import { errorOf } from './helpers/host.ts';
import { repository } from './ostree/small-repository.ts';

/** Three releases, and a way to make deltas that tells how many were made anew: each of those is proved once. */
async function releases() {
  const made = await repository();
  const first = await made.commit('one');
  const second = await made.commit('two', first);
  const third = await made.commit('three', second);
  const planned: PlannedDelta[] = [
    { from: second, to: third },
    { from: first, to: third },
    { from: undefined, to: third },
  ];
  const generated = (): number =>
    readFileSync(made.host.log.path, 'utf8').match(/static-delta apply-offline/g)?.length ?? 0;
  const make = async (plan = planned) => {
    const before = generated();
    const deltas = await makeProvenDeltas(made.host, plan);
    return { deltas, generated: generated() - before };
  };
  return { ...made, first, second, third, planned, make };
}

const kept = (cache: string): string[] => readdirSync(join(cache, 'deltas'));

it('deltas are made and proved in one stage that tells how far it is, each once', async () => {
  const { host, make, planned, third } = await releases();
  const { deltas, generated } = await make([...planned, ...planned]);
  expect(generated).toBe(3);
  expect(deltas.map(({ from }) => from?.version).toSorted()).toEqual(
    planned.map(({ from }) => from?.version).toSorted(),
  );
  expect(deltas.every(({ to, unpackedBytes }) => to.id === third.id && unpackedBytes > 0)).toBe(true);
  const progress = host.events.filter((event) => event.type === 'stage-progress');
  expect(progress).toEqual(
    [1, 2, 3].map((done) => ({ type: 'stage-progress', stage: 'deltas', done, total: 3, unit: 'deltas' })),
  );
  expect(host.events.find((event) => event.type === 'stage-end')).toMatchObject({
    stage: 'deltas',
    reused: false,
    detail: '3 made and proved',
  });
});

it('deltas that were proved before are not made again, though those that were published are lost', async () => {
  const { host, make, planned } = await releases();
  const before = await make();
  rmSync(host.workspace.output, { recursive: true });
  const after = await make();
  expect(after.generated).toBe(0);
  expect(after.deltas).toEqual(before.deltas);
  for (const { path, bytes } of after.deltas) expect(statSync(path).size).toBe(bytes);
  expect(host.events.findLast((event) => event.type === 'stage-end')).toMatchObject({
    reused: true,
    detail: `${planned.length} from before`,
  });
});

it('a kept delta that is damaged, cut off, or has lost its record is made anew', async () => {
  const { host, make, planned } = await releases();
  const { cache } = host.workspace;
  const { deltas } = await make();
  const files = kept(cache).filter((name) => name.endsWith('.delta'));
  expect(files).toHaveLength(3);
  rmSync(host.workspace.output, { recursive: true });
  const [one, other, third] = files.map((name) => join(cache, 'deltas', name)) as [string, string, string];
  const bytes = readFileSync(one);
  bytes[bytes.length >> 1]! ^= 1;
  writeFileSync(one, bytes);
  writeFileSync(other, '');
  writeFileSync(third.replace(/delta$/, 'json'), '{"bytes":');
  const again = await make();
  expect(again.generated).toBe(planned.length);
  expect(again.deltas).toEqual(deltas);
});

it('a delta is not taken from before where the signatures that it carries are others', async () => {
  const { host, make, third } = await releases();
  await make();
  const path = join(
    host.workspace.repository,
    'objects',
    third.id.slice(0, 2),
    `${third.id.slice(2)}.commitmeta`,
  );
  rmSync(path);
  // Without a signature there is no good one, and what is no good is not kept.
  expect((await errorOf(make())).code).toBe('update');
  expect(kept(host.workspace.cache)).toHaveLength(6);
});
