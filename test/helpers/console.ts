import { withoutEscapes } from '../../src/prove/console.ts';

/** The marker did not come; `message` holds the end of what the guest said. */
export class ConsoleTimeout extends Error {}

interface Waiter {
  pattern: RegExp;
  resolve(match: RegExpExecArray): void;
  reject(error: Error): void;
  timer: NodeJS.Timeout;
}

const tailLength = 6000;

/** What a guest writes to its console, and waiting for it. One waiter at a time. */
export class GuestConsole {
  /** All of it, as it came. */
  output = '';
  #position = 0;
  #waiter: Waiter | undefined;
  #ended: string | undefined;

  add(text: string): void {
    this.output += text;
    this.#check();
  }

  /** No more will come; `reason` stands in the errors of those who wait. */
  end(reason: string): void {
    this.#ended = reason;
    this.#fail(reason);
  }

  /** The last of it, without escape sequences, for errors. */
  tail(): string {
    return withoutEscapes(this.output).slice(-tailLength);
  }

  /**
   * Waits for text behind what the last call found, so that the same marker can be awaited once for each boot.
   * Rejects with the console's tail where it does not come in time or the guest ended.
   */
  waitFor(marker: string | RegExp, timeoutMs: number): Promise<RegExpExecArray> {
    if (this.#waiter !== undefined) throw new Error('somebody waits for this console already');
    const pattern =
      typeof marker === 'string'
        ? new RegExp(escapePattern(marker))
        : new RegExp(marker.source, marker.flags.replace(/[gy]/g, ''));
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#fail(`not seen within ${timeoutMs} ms`), timeoutMs);
      this.#waiter = { pattern, resolve, reject, timer };
      this.#check();
      if (this.#ended !== undefined) this.#fail(this.#ended);
    });
  }

  #check(): void {
    const waiter = this.#waiter;
    const match = waiter?.pattern.exec(this.output.slice(this.#position));
    if (waiter === undefined || match === null || match === undefined) return;
    this.#position += match.index + match[0].length;
    clearTimeout(waiter.timer);
    this.#waiter = undefined;
    waiter.resolve(match);
  }

  #fail(reason: string): void {
    const waiter = this.#waiter;
    if (waiter === undefined) return;
    clearTimeout(waiter.timer);
    this.#waiter = undefined;
    waiter.reject(new ConsoleTimeout(`${waiter.pattern}: ${reason}. The console's end:\n${this.tail()}`));
  }
}

const escapePattern = (text: string): string => text.replaceAll(/[$()*+.?[\\\]^{|}]/g, String.raw`\$&`);
