import type { BuildLog } from '../host/log.ts';
import { orAborted } from './waiting.ts';

const tailLines = 20;
/** Of a line without an end: a guest that never ends one must not fill the memory. */
const longestLine = 4096;

/** What a guest says on its console, over all its starts: kept in a log, and waited for. */
export class GuestConsole {
  readonly #log: BuildLog;
  #unfinished = '';
  #tail: string[] = [];
  /** Lines that nobody has looked at yet. */
  #unread: string[] = [];
  #wake: () => void = () => {};

  /** `log` gets every line, with the seconds since it was opened. */
  constructor(log: BuildLog) {
    this.#log = log;
  }

  /** The last lines, oldest first. */
  get tail(): readonly string[] {
    return this.#unfinished === '' ? this.#tail : [...this.#tail, withoutEscapes(this.#unfinished)];
  }

  add(text: string): void {
    const whole = (this.#unfinished + text).split('\n');
    this.#unfinished = whole.pop()!;
    if (this.#unfinished.length > longestLine) {
      whole.push(this.#unfinished);
      this.#unfinished = '';
    }
    const lines = whole.map(withoutEscapes);
    for (const line of lines) {
      this.#log.line(line);
      this.#unread.push(line);
    }
    this.#tail = [...this.#tail, ...lines.filter((line) => line.trim() !== '')].slice(-tailLines);
    this.#wake();
  }

  /** Forgets what was said so far: what comes next is of another start. */
  skip(): void {
    this.#unread = [];
  }

  /** The next line that fits, behind the last one that was found or skipped. One caller at a time. */
  async waitFor(pattern: RegExp, signal: AbortSignal): Promise<RegExpExecArray> {
    for (;;) {
      for (let line = this.#unread.shift(); line !== undefined; line = this.#unread.shift()) {
        const match = pattern.exec(line);
        if (match !== null) return match;
      }
      await orAborted(
        new Promise<void>((resolve) => {
          this.#wake = resolve;
        }),
        signal,
      );
    }
  }
}

/** What a terminal would show of a guest's words, as far as that is text: without control sequences and carriage returns. */
export const withoutEscapes = (text: string): string =>
  // oxlint-disable-next-line no-control-regex -- they are what is removed
  text.replaceAll(/\u001B(?:\[[0-9;?=]*[A-Za-z]|[()].|[=>])|\r/g, '');
