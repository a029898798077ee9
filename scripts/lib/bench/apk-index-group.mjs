import { join } from 'node:path';
import { bundleProgram, home } from '../treeline.mjs';
import { run } from './command.mjs';

const entries = 23_000;

/** Calls alpine-inside.ts, which measures inside one process, and returns what it prints. */
export async function measureInside(bench, request) {
  const program = join(bench.scratch, 'alpine-inside.mjs');
  await bundleProgram(join(home, 'scripts/lib/bench/alpine-inside.ts'), program);
  return async () => JSON.parse(await run('node', [program, JSON.stringify(request)]));
}

/** Verifying and reading an index as large as Alpine's main and community together; it is made here. */
export function indexGroup(bench) {
  const group = 'alpine index';
  const read = async () => {
    bench.say(group);
    const measure = await measureInside(bench, { what: 'index', entries, runs: bench.runs });
    const { seconds, memory } = await measure();
    const title = `alpine, an index of ${entries} packages`;
    const fact = { group, title, role: 'fact' };
    bench.record({ ...fact, who: 'verified and read', unit: 'seconds', values: seconds });
    bench.record({
      ...fact,
      who: 'memory of the process, with the making of the index',
      unit: 'bytes',
      values: [memory],
    });
  };
  return { name: group, run: read };
}
