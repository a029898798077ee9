import { judge } from './aims.ts';
import type { Figure } from './figure.ts';
import { evaluate } from './statistics.ts';
import { figuresTable, markdownTable } from './table.ts';

export interface Measured {
  /** The machine in one line. */
  machine: string;
  runs: number;
  figures: readonly Figure[];
  leftOut: readonly { what: string; reason: string }[];
}

/** What was measured, as data with medians, ratios and aims, and as Markdown. */
export function makeReport({ machine, runs, figures: measured, leftOut }: Measured) {
  const figures = evaluate(measured);
  const aims = judge(figures);
  const parts = [
    `${machine}. Medians of ${runs} ${runs === 1 ? 'run' : 'runs, in turn'}.`,
    ...(figures.length === 0 ? [] : [figuresTable(figures)]),
    ...(aims.length === 0 ? [] : [aimsTable(aims)]),
    ...(leftOut.length === 0
      ? []
      : [`Left out:\n\n${leftOut.map(({ what, reason }) => `- ${what}: ${reason}`).join('\n')}`]),
  ];
  return { figures, aims, markdown: `${parts.join('\n\n')}\n` };
}

const aimsTable = (aims: ReturnType<typeof judge>): string =>
  markdownTable(
    ['what', 'aim', 'figure', ''],
    aims.map(({ what, aim, figure, met }) => [what, aim, figure, met ? 'met' : '**missed**']),
  );
