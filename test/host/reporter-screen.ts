// oxlint-disable no-control-regex -- they are what a terminal acts upon

/** A terminal as far as the reporter uses one: rows that wrap, and the sequences cursor up, erase below, colours. */
export class Screen {
  columns: number;
  rows = 24;
  /** Everything that was written, as it came. */
  written = '';
  #cells: string[] = [''];
  #row = 0;
  #listeners: (() => void)[] = [];

  constructor(columns: number) {
    this.columns = columns;
  }

  /** The rows from the top, without trailing blanks; the empty one that the cursor waits in is left out. */
  get lines(): string[] {
    return this.#cells.map((row) => row.trimEnd()).slice(0, this.#cells.at(-1) === '' ? -1 : undefined);
  }

  on(_event: string, listener: () => void): void {
    this.#listeners.push(listener);
  }

  off(_event: string, listener: () => void): void {
    this.#listeners = this.#listeners.filter((other) => other !== listener);
  }

  get listeners(): number {
    return this.#listeners.length;
  }

  /** As terminals do it: what was longer wraps anew. */
  resize(columns: number): void {
    this.#cells = this.#cells.flatMap((row) => wrap(row, columns));
    this.#row = this.#cells.length - 1;
    this.columns = columns;
    for (const listener of this.#listeners) listener();
  }

  write(text: string): void {
    this.written += text;
    for (const [part] of text.matchAll(/\u001B\[[\d;]*[A-Za-z]|[\s\S]/gu)) this.#take(part);
  }

  #take(part: string): void {
    const sequence = /^\u001B\[(\d*)[\d;]*([A-Za-z])$/.exec(part);
    if (sequence?.[2] === 'm') return;
    if (sequence?.[2] === 'A') this.#row = Math.max(0, this.#row - Number(sequence[1]));
    else if (sequence?.[2] === 'J') this.#cells = [...this.#cells.slice(0, this.#row), ''];
    else if (sequence !== null) throw new Error(`unexpected sequence ${JSON.stringify(part)}`);
    else if (part === '\n') this.#nextRow();
    else if (part !== '\r') this.#put(part);
  }

  #put(character: string): void {
    if (this.#cells[this.#row]!.length >= this.columns) this.#nextRow();
    this.#cells[this.#row] += character;
  }

  #nextRow(): void {
    this.#row += 1;
    this.#cells[this.#row] ??= '';
  }
}

function wrap(row: string, columns: number): string[] {
  const parts = row.match(new RegExp(`.{1,${columns}}`, 'gu'));
  return parts ?? [''];
}
