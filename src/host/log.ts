import { openSync, closeSync, writeSync } from 'node:fs';

/** The whole story of one command, in a file whose path is shown when something fails. */
export interface BuildLog {
  readonly path: string;
  line(text: string): void;
  /** Several lines as a program printed them. */
  text(text: string): void;
  close(): void;
}

/** Opens `path`, whose directory exists, anew; written at once, so that the log survives a kill. */
export function openLog(path: string): BuildLog {
  const file = openSync(path, 'w');
  const started = performance.now();
  const line = (text: string): void => {
    const seconds = ((performance.now() - started) / 1000).toFixed(3).padStart(8);
    try {
      writeSync(file, `${seconds} ${text}\n`);
    } catch {
      // The disk is full. What the build itself writes there fails with a message of its own.
    }
  };
  return {
    path,
    line,
    text(text) {
      for (const part of text.split('\n')) if (part !== '') line(`  ${part}`);
    },
    close: () => closeSync(file),
  };
}

/** For commands that make nothing. */
export const silentLog: BuildLog = { path: '', line() {}, text() {}, close() {} };
