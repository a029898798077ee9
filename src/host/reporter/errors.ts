import type { ErrorCode } from '../errors.ts';
import { TreelineError } from '../errors.ts';

/**
 * An error for people, without a newline at the end: what went wrong, what the failed program printed, what mends it, and
 * where the whole log is. The stack is shown only for what is no TreelineError, because that is a bug.
 */
export function formatError(error: unknown, logPath?: string): string {
  const lines = error instanceof TreelineError ? describeError(error) : describeBug(error);
  if (logPath !== undefined) lines.push(`log: ${logPath}`);
  return lines.join('\n');
}

function describeError({ message, output, hint }: TreelineError): string[] {
  const printed = (output ?? '').trimEnd();
  return [
    `error: ${message}`,
    ...(printed === '' ? [] : printed.split('\n').map((line) => `  ${line}`)),
    ...(hint === undefined ? [] : [`hint: ${hint}`]),
  ];
}

function describeBug(error: unknown): string[] {
  const story = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return [`error: this is a bug in Treeline: ${story}`];
}

/** What `--json` writes for an error, beside the events. */
export interface ErrorRecord {
  type: 'error';
  /** `bug`: not one of Treeline's own errors. */
  code: ErrorCode | 'bug';
  message: string;
  hint?: string;
  output?: string;
  stack?: string;
  log?: string;
}

/** An error as one line of JSON (an ErrorRecord), without a newline at the end. */
export function errorAsJson(error: unknown, logPath?: string): string {
  const log = logPath === undefined ? {} : { log: logPath };
  return JSON.stringify({ time: new Date().toISOString(), ...errorRecord(error), ...log });
}

function errorRecord(error: unknown): ErrorRecord {
  if (error instanceof TreelineError) {
    const { code, message, hint, output } = error;
    return {
      type: 'error',
      code,
      message,
      ...(hint === undefined ? {} : { hint }),
      ...(output === undefined ? {} : { output }),
    };
  }
  if (!(error instanceof Error)) return { type: 'error', code: 'bug', message: String(error) };
  return {
    type: 'error',
    code: 'bug',
    message: error.message,
    ...(error.stack === undefined ? {} : { stack: error.stack }),
  };
}
