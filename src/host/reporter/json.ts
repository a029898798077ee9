import type { OutputStream, Reporter } from './output.ts';

/** Every event as one line of JSON: the event's own fields after `time` (ISO 8601, UTC). */
export function createJsonReporter(stream: OutputStream): Reporter {
  return {
    listener: (event) =>
      void stream.write(`${JSON.stringify({ time: new Date().toISOString(), ...event })}\n`),
    close() {},
  };
}
