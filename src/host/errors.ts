/** What went wrong, for exit codes, `--json` and tests; the words are in the message. */
export type ErrorCode =
  | 'usage' // an option, command, setting or name that does not exist or does not fit
  | 'recipe' // a layer, package list, hook or overlay file that cannot be used
  | 'layout' // a partition table that cannot be used
  | 'package' // a package that is missing, unverified or damaged
  | 'host' // the machine lacks a tool, space, or the right to do it
  | 'network' // something had to be downloaded and could not be
  | 'busy' // another build holds the workspace
  | 'command' // a program failed
  | 'hook' // a layer's hook failed
  | 'difference' // two builds that should be the same are not
  | 'update' // an update that cannot be made or does not prove
  | 'cancelled'; // the user stopped it

/**
 * The one error that users meet. `message` reads "Cannot <verb> <object>: <reason>" and names the
 * offending value; `hint` names the command or setting that mends it; `output` is what a failed program printed.
 */
export class TreelineError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly output: string | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    details: { hint?: string | undefined; output?: string | undefined; cause?: unknown } = {},
  ) {
    super(message, { cause: details.cause });
    this.name = 'TreelineError';
    this.code = code;
    this.hint = details.hint;
    this.output = details.output;
  }
}
