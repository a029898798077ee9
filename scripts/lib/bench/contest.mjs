import { run, timed } from './command.mjs';

/** Whoever takes longer than this (seconds) runs once. */
const slow = 40;

/**
 * One job done by several, in turn and round by round, so that all of them meet the machine at the same speed. Before each
 * run, outside of the time, `prepare` puts everything into place, and what the last one wrote goes to the disk. Who fails
 * is left out with the reason; only our own failure ends the benchmark.
 *
 * A contestant: `who`; `role`: 'ours', 'peer' (does the same job), 'part' (does a part of it) or 'floor'; `does`: in one
 * line; `unavailable`: why it cannot take part here; `prepare`, `run` (may return seconds that it measured itself).
 */
export async function contest(bench, { group, title, contestants }) {
  const present = contestants.filter(({ role }) => bench.peers || (role !== 'peer' && role !== 'part'));
  const results = new Map(present.map((contestant) => [contestant, []]));
  for (const contestant of present) {
    if (contestant.unavailable === undefined) continue;
    bench.leaveOut(contestant.who, contestant.unavailable);
    results.delete(contestant);
  }
  for (let round = 1; round <= bench.runs; round += 1) {
    for (const contestant of present) {
      const values = results.get(contestant);
      if (values === undefined || values[0] > slow) continue;
      bench.say(`${group}: ${contestant.who}, ${round} of ${bench.runs}`);
      try {
        await contestant.prepare?.();
        await run('sync', []);
        let inside;
        const seconds = await timed(async () => {
          inside = await contestant.run();
        });
        values.push(typeof inside === 'number' ? inside : seconds);
      } catch (error) {
        if (contestant.role === 'ours') throw error;
        results.delete(contestant);
        bench.leaveOut(`${contestant.who} in “${group}”`, error.message);
      }
    }
  }
  for (const [{ who, role, does }, values] of results)
    bench.record({ group, title, who, role, does, unit: 'seconds', values });
}
