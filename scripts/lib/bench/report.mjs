// What is printed and written at the end.
import { join } from 'node:path';
import { fs } from 'zx';
import { bundleProgram, home } from '../treeline.mjs';
import { describeMachine, machineLine } from './machine.mjs';

/** Prints the tables; `json`, `markdown`: files that are written as well. */
export async function report({ scratch, runs, figures: measured, leftOut }, { json, markdown }) {
  const module = join(scratch, 'report.mjs');
  await bundleProgram(join(home, 'scripts/lib/bench/report.ts'), module);
  const { makeReport } = await import(module);
  const machine = await describeMachine(scratch);
  const made = makeReport({ machine: machineLine(machine), runs, figures: measured, leftOut });
  console.log(made.markdown);
  if (markdown) await fs.outputFile(markdown, made.markdown);
  const { figures, aims } = made;
  if (json) await fs.outputJson(json, { format: 1, machine, runs, figures, aims, leftOut }, { spaces: 2 });
}
