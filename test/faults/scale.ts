import { appendFileSync } from 'node:fs';

/** How much the tests of this directory do: little in `npm test`; `npm run torture` sets the variables, see scripts/torture.mjs. */
export const scale = {
  /** What all that is random follows from. */
  seed: integer('TREELINE_TORTURE_SEED', 1),
  /** Powers cut off. None by default: a disk that lost nothing is the same, in seconds. */
  cuts: integer('TREELINE_TORTURE_CUTS', 0),
  /** Disks that lose writes. */
  losses: integer('TREELINE_TORTURE_LOSSES', 4),
  /** Builds killed. */
  kills: integer('TREELINE_TORTURE_KILLS', 2),
  /** Whether every fault is tried, not only those that take little time. */
  all: process.env['TREELINE_TORTURE'] === '1',
  /** The one point of each kind that is tried; all of them by default. */
  only: integer('TREELINE_TORTURE_ONLY', 0),
} as const;

const [began, until] = [integer('TREELINE_TORTURE_BEGAN', 0), integer('TREELINE_TORTURE_UNTIL', 0)];

/**
 * Whether `npm run torture -- --hours N` has no time left to begin another point; `share`: of all the time, 0 to 1, what the
 * kinds up to this one may take. Never, where no time was given.
 */
export const timeIsOver = (share = 1): boolean =>
  until > 0 && Date.now() / 1000 > began + (until - began) * share;

/** A directory for what helps to find out about a failure; undefined: nothing is kept. */
export const keepDirectory: string | undefined = process.env['TREELINE_TORTURE_KEEP'];

/** One line of the report: what was tried, and how it ended. */
export interface Tried {
  kind: string;
  number: number;
  /** Where: a phase, a moment. */
  where: string;
  result: string;
  problems: readonly string[];
}

/** Notes a result for `npm run torture`, and says it. */
export function report(tried: Tried): void {
  const { kind, number, where, result, problems } = tried;
  process.stderr.write(
    `${kind} ${number} (seed ${scale.seed}): ${where}: ${[result, ...problems].join('; ')}\n`,
  );
  const file = process.env['TREELINE_TORTURE_REPORT'];
  if (file !== undefined) appendFileSync(file, `${JSON.stringify(tried)}\n`);
}

/** Those of the planned points that this run is about. */
export const wanted = <T extends { number: number }>(points: readonly T[]): T[] =>
  points.filter(({ number }) => scale.only === 0 || number === scale.only);

function integer(name: string, otherwise: number): number {
  const value = process.env[name] ?? '';
  if (value === '') return otherwise;
  if (!/^\d{1,10}$/.test(value)) throw new Error(`${name}=${value} is not a number`);
  return Number(value);
}
