import { createJsonReporter } from './json.ts';
import type { OutputStream, Reporter } from './output.ts';
import { createPlainReporter } from './plain.ts';
import { createQuietReporter } from './quiet.ts';
import { createStyle } from './style.ts';
import { createTerminalReporter } from './terminal.ts';

export type { OutputStream, Reporter } from './output.ts';
export { errorAsJson, formatError } from './errors.ts';
export { formatBytes, formatSeconds } from './units.ts';

export type ReporterMode = 'terminal' | 'plain' | 'json' | 'quiet';

type Environment = Readonly<Record<string, string | undefined>>;

/** How to report: `json` before `quiet` before what the stream is. A terminal that cannot move its cursor gets lines. */
export function chooseMode(
  { json, quiet, isTTY }: { json: boolean; quiet: boolean; isTTY: boolean },
  environment: Environment = process.env,
): ReporterMode {
  if (json) return 'json';
  if (quiet) return 'quiet';
  return isTTY && environment['TERM'] !== 'dumb' ? 'terminal' : 'plain';
}

/**
 * A reporter that writes to `stream`. Colours only in a terminal, and not where NO_COLOR (no-color.org) is set;
 * signs outside ASCII only where the locale's character set is UTF-8.
 */
export function createReporter(
  { mode, stream }: { mode: ReporterMode; stream: OutputStream },
  environment: Environment = process.env,
): Reporter {
  switch (mode) {
    case 'json':
      return createJsonReporter(stream);
    case 'quiet':
      return createQuietReporter(stream);
    case 'plain':
      return createPlainReporter(stream);
    case 'terminal':
      return createTerminalReporter(stream, createStyle(abilities(environment)));
  }
}

function abilities(environment: Environment): { color: boolean; unicode: boolean } {
  const locale = environment['LC_ALL'] || environment['LC_CTYPE'] || environment['LANG'] || '';
  return { color: !environment['NO_COLOR'], unicode: /utf-?8/i.test(locale) };
}
