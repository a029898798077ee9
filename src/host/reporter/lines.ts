import { relative } from 'node:path';
import type { Event, ResultRow } from '../events.ts';
import type { Style } from './style.ts';
import { printable } from './style.ts';
import { formatBytes, formatSeconds } from './units.ts';

/** Columns of a finished stage: the name is padded to the first, name and detail together to the second. */
const nameWidth = 12;
const detailWidth = 48;

/** `✓ packages    82 packages, 58 MiB        1.3 s` */
export function stageLine(
  event: Extract<Event, { type: 'stage-end' | 'stage-failed' }>,
  style: Style,
): string {
  const sign =
    event.type === 'stage-failed'
      ? style.red(style.failed)
      : event.reused
        ? style.dim(style.reused)
        : style.green(style.done);
  return `${sign} ${stageText(event)}`;
}

/** The same without the sign. */
export function stageText(event: Extract<Event, { type: 'stage-end' | 'stage-failed' }>): string {
  return `${stageName(event.stage)}${outcome(event).padEnd(detailWidth - 1)} ${formatSeconds(event.seconds).padStart(8)}`;
}

function outcome(event: Extract<Event, { type: 'stage-end' | 'stage-failed' }>): string {
  if (event.type === 'stage-failed') return 'failed';
  const detail = printable(event.detail);
  if (!event.reused) return detail;
  return detail === '' ? 'unchanged' : `${detail}, unchanged`;
}

/** A longer name moves the rest to the right. */
export const stageName = (name: string): string => `${printable(name).padEnd(nameWidth - 1)} `;

/** The end of a command: its title, what was made in aligned columns, and the commands to try next. */
export function resultLines(event: Extract<Event, { type: 'result' }>, style: Style): string[] {
  const next = event.next.map((command) => `  ${command}`);
  return [
    style.bold(event.title),
    ...alignRows(event.rows.map(resultCells)),
    ...(next.length === 0 ? [] : ['', 'Next:', ...next]),
  ];
}

type ResultCells = [label: string, value: string, size: string, path: string];

/** Label, value, size, path: the path last, because it is the longest. */
function resultCells(row: ResultRow): ResultCells {
  const path = row.path === undefined ? '' : shortPath(row.path);
  const value = row.value === row.path ? '' : row.value;
  return [row.label, value, row.bytes === undefined ? '' : formatBytes(row.bytes), path].map(printable) as [
    string,
    string,
    string,
    string,
  ];
}

/** A cell with nothing behind it may be of any length: it does not widen its column. */
function alignRows(rows: readonly ResultCells[]): string[] {
  const widths = [0, 1, 2].map((column) => {
    const followed = rows.filter((cells) => cells.slice(column + 1).some((cell) => cell !== ''));
    return Math.max(0, ...followed.map((cells) => cells[column]!.length));
  });
  return rows.map(([label, value, size, path]) => {
    const cells = [label.padEnd(widths[0]!), value.padEnd(widths[1]!), size.padStart(widths[2]!), path];
    const used = cells.filter((cell, column) => column === 3 || widths[column]! > 0 || cell !== '');
    return `  ${used.join('  ')}`.trimEnd();
  });
}

/** Relative to the current directory where it lies below that. */
function shortPath(path: string): string {
  const below = relative(process.cwd(), path);
  return below === '' || below.startsWith('..') ? path : below;
}
