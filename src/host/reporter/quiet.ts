import type { Event } from '../events.ts';
import { resultLines } from './lines.ts';
import type { OutputStream, Reporter } from './output.ts';
import { createStyle, printable } from './style.ts';

/** Warnings and the result, nothing else. */
export function createQuietReporter(stream: OutputStream): Reporter {
  const style = createStyle({ color: false, unicode: false });
  return {
    listener(event: Event) {
      if (event.type === 'warning') stream.write(`warning: ${printable(event.text)}\n`);
      if (event.type === 'result') stream.write(`${resultLines(event, style).join('\n')}\n`);
    },
    close() {},
  };
}
