import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { sideBySide } from '../../src/host/side-by-side.ts';
import { allWorkSettled } from '../../src/host/under-way.ts';

it('gives the results in the order of the work, so many at a time', async () => {
  let [now, most] = [0, 0];
  const work = [30, 10, 20, 0].map((milliseconds) => async () => {
    most = Math.max(most, (now += 1));
    await sleep(milliseconds);
    now -= 1;
    return milliseconds;
  });
  expect(await sideBySide(work, 2)).toEqual([30, 10, 20, 0]);
  expect(most).toBe(2);
});

it('begins nothing more after an error, and what had begun can be waited for', async () => {
  const done: string[] = [];
  let goOn = (): void => {};
  const waits = new Promise<void>((resolve) => (goOn = resolve));
  const work = [
    async () => {
      throw new Error('full');
    },
    async () => {
      await waits;
      done.push('second');
    },
    async () => void done.push('third'),
  ];
  await expect(sideBySide(work, 2)).rejects.toThrow('full');
  expect(done).toEqual([]);
  const settled = allWorkSettled();
  goOn();
  await settled;
  expect(done).toEqual(['second']);
});
