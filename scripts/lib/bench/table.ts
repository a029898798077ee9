import type { EvaluatedFigure, Figure } from './figure.ts';

/** A value in a unit that suits it. */
export function formatValue(value: number, unit: Figure['unit']): string {
  if (unit === 'seconds') return `${value.toFixed(value < 10 ? 2 : 1)} s`;
  return value < 1 << 20 ? `${(value / 1024).toFixed(1)} KiB` : `${(value / (1 << 20)).toFixed(1)} MiB`;
}

/** Two digits that count, or all those before the point. */
export function formatRatio(value: number): string {
  return value >= 10 ? value.toFixed(0) : value.toPrecision(2);
}

/** A table in Markdown. */
export function markdownTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(escape).join(' | ')} |`;
  return [line(header), line(header.map(() => '---')), ...rows.map(line)].join('\n');
}

const escape = (cell: string): string => cell.replaceAll('|', '\\|');

/** Figures in their order, and a line on what each of the others does. `of ours`: how many times Treeline's figure. */
export function figuresTable(figures: readonly EvaluatedFigure[]): string {
  const rows = figures.map((figure, index) => [
    figures[index - 1]?.title === figure.title ? '' : figure.title,
    figure.who,
    formatValue(figure.median, figure.unit),
    spread(figure),
    figure.ratio === null || figure.role === 'ours' ? '' : `${formatRatio(figure.ratio)} ×`,
  ]);
  const table = markdownTable(['what', 'by', 'median', 'least – most', 'of ours'], rows);
  const notes = [...explanations(figures)].map(([who, does]) => `- **${who}**: ${does}`);
  return notes.length === 0 ? table : `${table}\n\n${notes.join('\n')}`;
}

function spread({ unit, values, least, most }: EvaluatedFigure): string {
  if (unit === 'bytes') return '';
  return values.length === 1 ? 'once' : `${formatValue(least, unit)} – ${formatValue(most, unit)}`;
}

function explanations(figures: readonly Figure[]): Map<string, string> {
  return new Map(figures.flatMap(({ who, does }) => (does === undefined ? [] : [[who, does] as const])));
}
