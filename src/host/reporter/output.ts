import type { Event } from '../events.ts';

/** A place to write to; a terminal tells its size too. */
export interface OutputStream {
  write(text: string): unknown;
  columns?: number | undefined;
  rows?: number | undefined;
  on?(event: string, listener: () => void): unknown;
  off?(event: string, listener: () => void): unknown;
}

/** A listener that holds a terminal or a timer until it is closed. */
export interface Reporter {
  /** The listener for createHost; usable without `this`. */
  readonly listener: (event: Event) => void;
  /** Writes what is outstanding, removes what was temporary, stops timers. May be called twice. */
  close(): void;
}
