import type { EvaluatedFigure } from './figure.ts';
import { formatValue } from './table.ts';

/** What Treeline wants to reach on two cores. */
const rules: readonly Rule[] = [
  { group: /nothing$/, seconds: 0.7, timesPeer: 10 },
  { group: /one file$/, seconds: 2 },
  { group: /cold$/, seconds: 6, timesPeer: 5, timesFloor: 1.5 },
];

interface Rule {
  group: RegExp;
  seconds: number;
  /** So many times faster than the fastest peer. */
  timesPeer?: number;
  /** No more than so many times the floor. */
  timesFloor?: number;
}

export interface Judgement {
  /** The group. */
  what: string;
  aim: string;
  figure: string;
  met: boolean;
}

/** The aims that these figures are about. What does only a part of the job is no peer. */
export function judge(figures: readonly EvaluatedFigure[]): Judgement[] {
  return figures
    .filter(({ role, unit }) => role === 'ours' && unit === 'seconds')
    .flatMap((ours) => {
      const rule = rules.find(({ group }) => group.test(ours.group));
      const others = figures.filter(({ group, unit }) => group === ours.group && unit === 'seconds');
      return rule === undefined ? [] : judgeGroup(rule, ours, others);
    });
}

function judgeGroup(
  { seconds, timesPeer, timesFloor }: Rule,
  { group: what, median }: EvaluatedFigure,
  others: readonly EvaluatedFigure[],
): Judgement[] {
  const judgements = [
    { what, aim: `≤ ${seconds} s`, figure: formatValue(median, 'seconds'), met: median <= seconds },
  ];
  const [peer] = others
    .filter(({ role }) => role === 'peer')
    .map(({ who, ratio }) => ({ who, times: ratio ?? Number.NaN }))
    .toSorted((a, b) => a.times - b.times);
  if (timesPeer !== undefined && peer !== undefined) {
    const figure = `${show(peer.times)} times (${peer.who})`;
    const aim = `≥ ${timesPeer} times faster than the fastest peer`;
    judgements.push({ what, aim, figure, met: peer.times >= timesPeer });
  }
  const floor = others.find(({ role }) => role === 'floor')?.ratio;
  if (timesFloor !== undefined && typeof floor === 'number') {
    const times = 1 / floor;
    const figure = `${show(times)} times`;
    judgements.push({ what, aim: `≤ ${timesFloor} times the floor`, figure, met: times <= timesFloor });
  }
  return judgements;
}

/** Exact enough to tell a figure that just misses its aim. */
const show = (times: number): string => times.toFixed(times < 10 ? 2 : 0);
