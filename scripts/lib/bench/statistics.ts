import type { EvaluatedFigure, Figure } from './figure.ts';

/** The middle value; of an even number of them, the mean of the two in the middle; NaN where there is none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  const lower = sorted[Math.ceil(sorted.length / 2) - 1] ?? Number.NaN;
  return (lower + upper) / 2;
}

/**
 * How many times the reference these values are: the median of the ratios run by run, because what ran in turn met the
 * machine at the same speed; the ratio of the medians, where one of them ran less often.
 */
export function ratio(values: readonly number[], reference: readonly number[]): number {
  if (values.length !== reference.length) return median(values) / median(reference);
  return median(values.map((value, run) => value / reference[run]!));
}

/** Adds what is computed. */
export function evaluate(figures: readonly Figure[]): EvaluatedFigure[] {
  return figures.map((figure) => {
    const { group, role, unit, values } = figure;
    const ours = figures.find(
      (other) => other.group === group && other.unit === unit && other.role === 'ours',
    );
    return {
      ...figure,
      median: median(values),
      least: Math.min(...values),
      most: Math.max(...values),
      ratio: ours === undefined || role === 'fact' ? null : ratio(values, ours.values),
    };
  });
}
