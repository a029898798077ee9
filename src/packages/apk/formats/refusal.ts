import { TreelineError } from '../../../host/errors.ts';

/**
 * What these readers throw (code 'package'): why bytes are not taken. `within` puts the name of the file before the reason.
 */
export class Refusal extends TreelineError {
  /** The second half of the message: what is wrong. */
  readonly reason: string;

  constructor(
    reason: string,
    details: { hint?: string | undefined; subject?: string; cause?: unknown } = {},
  ) {
    super('package', `Cannot use ${details.subject ?? 'the archive'}: ${reason}`, {
      ...details,
      hint: details.hint ?? usualHint,
    });
    this.reason = reason;
  }
}

const usualHint =
  'Fetch it again (--refresh), or from another mirror with --mirror; npm run vendor writes a vendored directory anew.';

/** Runs `work`; a Refusal in it becomes one that names `subject`, e.g. `busybox-1.36.1-r15`. */
export function within<Result>(subject: string, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    throw new Refusal(error.reason, { subject, hint: error.hint, cause: error.cause });
  }
}
