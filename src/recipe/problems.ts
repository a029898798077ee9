import { isAbsolute, relative } from 'node:path';
import { TreelineError } from '../host/errors.ts';
import type { Layer, Origin } from '../model.ts';

/** Everything that is wrong with the layers of one recipe, so that it can be shown and mended at once. */
export class Problems {
  readonly #found: { origin: Origin; message: string }[] = [];

  add(origin: Origin, message: string): void {
    this.#found.push({ origin, message });
  }

  get count(): number {
    return this.#found.length;
  }

  /** Throws TreelineError 'recipe' with one line a problem, `file:line: message`, in the order of the layers. */
  throwIfAny(layers: readonly Layer[]): void {
    if (this.count === 0) return;
    const rank = new Map(layers.map((layer, index) => [layer.name, index]));
    const sorted = this.#found.toSorted(
      (one, two) =>
        (rank.get(one.origin.layer) ?? 0) - (rank.get(two.origin.layer) ?? 0) ||
        compareText(one.origin.file, two.origin.file) ||
        (one.origin.line ?? 0) - (two.origin.line ?? 0),
    );
    const lines = [...new Set(sorted.map(({ origin, message }) => `${place(origin)}: ${message}`))];
    const count = lines.length === 1 ? 'a problem' : `${lines.length} problems`;
    throw new TreelineError('recipe', `Cannot use the layers: ${count}\n  ${lines.join('\n  ')}`, {
      hint: 'docs/layers.md describes what a layer may hold.',
    });
  }
}

/** Order by UTF-16 code unit, the same on every machine. */
export const compareText = (one: string, two: string): number => (one < two ? -1 : one > two ? 1 : 0);

/** `file:line` as a person can open it from here. */
export const place = (origin: Origin): string => absolutePlace({ ...origin, file: shownPath(origin.file) });

/** `file:line` as a person can open it from anywhere. */
export const absolutePlace = ({ file, line }: Origin): string =>
  line === undefined ? file : `${file}:${line}`;

function shownPath(file: string): string {
  const fromHere = relative(process.cwd(), file);
  return fromHere.startsWith('..') || isAbsolute(fromHere) || fromHere === '' ? file : fromHere;
}
