import type { OutputStream } from './output.ts';
import { cut } from './style.ts';

const escape = '\u001B[';
const clearToEnd = `${escape}J`;

/**
 * The last lines of a terminal, drawn again in place. Each line fits the width, so that it takes one row; after the
 * terminal was made narrower, the rows that it wrapped the old lines to are counted.
 */
export class LiveBlock {
  readonly #stream: OutputStream;
  readonly #more: string;
  #drawn: readonly string[] = [];

  /** `more` stands for what had to be left out. */
  constructor(stream: OutputStream, more: string) {
    this.#stream = stream;
    this.#more = more;
  }

  /** Puts `lines`, which have no escape sequences, in the block's place; no lines: the block is gone. */
  draw(lines: readonly string[]): void {
    const fitting = this.#fit(lines);
    if (fitting.length === 0 && this.#drawn.length === 0) return;
    this.#stream.write(this.#erase() + fitting.map((line) => `${line}\n`).join(''));
    this.#drawn = fitting;
  }

  /** Writes lines that stay, above the block. They may be of any width. */
  print(lines: readonly string[]): void {
    const text = lines.map((line) => `${line}\n`).join('');
    this.#stream.write(this.#erase() + text + this.#drawn.map((line) => `${line}\n`).join(''));
  }

  #fit(lines: readonly string[]): string[] {
    const height = Math.max(1, (this.#stream.rows ?? 24) - 1);
    const shown =
      lines.length <= height
        ? lines
        : [...lines.slice(0, height - 1), `  ${this.#more} and ${lines.length - height + 1} more`];
    // A line that fills the last column makes some terminals wrap.
    return shown.map((line) => cut(line, this.#columns - 1, this.#more));
  }

  #erase(): string {
    const rows = this.#drawn.reduce(
      (sum, line) => sum + Math.max(1, Math.ceil([...line].length / this.#columns)),
      0,
    );
    return rows === 0 ? '' : `${escape}${rows}A\r${clearToEnd}`;
  }

  get #columns(): number {
    return Math.max(2, this.#stream.columns || 80);
  }
}
