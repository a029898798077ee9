import { TreelineError } from './errors.ts';

/** What the system's refusals mean, for people. */
const reasons: Readonly<Record<string, string>> = {
  EACCES: 'this user may not',
  EDQUOT: 'this user’s disk quota is used up',
  EEXIST: 'something of this name is there already',
  EFBIG: 'the file system cannot hold a file so large',
  EIO: 'the disk reports an error',
  EISDIR: 'it is a directory',
  ELOOP: 'its links lead in a circle',
  EMFILE: 'too many files are open',
  ENAMETOOLONG: 'the name is too long',
  ENFILE: 'too many files are open on this machine',
  ENOENT: 'it does not exist',
  ENOSPC: 'no space left on the disk',
  ENOTDIR: 'a part of the path is not a directory',
  EPERM: 'this user may not',
  EROFS: 'the file system is read-only',
};

/** Why the system refused something, in words. */
export function systemReason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return reasons[code ?? ''] ?? message;
}

/**
 * A refusal of the system (a full disk, a file that may not be read) as TreelineError 'host'; anything else as it is.
 * `hint` may tell of those alone that a person can mend.
 */
export function asTreelineError(error: unknown): unknown {
  if (error instanceof TreelineError || !isRefusal(error)) return error;
  const what = [error.path, error.dest].filter((path) => path !== undefined).join(' and ');
  return new TreelineError(
    'host',
    `Cannot ${error.syscall} ${what === '' ? 'a file' : what}: ${systemReason(error)}`,
    {
      hint: error.code === 'ENOSPC' ? freeSpaceHint : undefined,
      cause: error,
    },
  );
}

export const freeSpaceHint =
  'Free some space (df -h shows where), then run the same command again: what was finished is kept.';

const isRefusal = (error: unknown): error is NodeJS.ErrnoException & { dest?: string } =>
  error instanceof Error && 'syscall' in error && 'code' in error && String(error.code) in reasons;
