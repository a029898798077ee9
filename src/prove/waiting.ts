import { TreelineError } from '../host/errors.ts';

/** What a step may wait for: rejects with the signal's reason when it is aborted before `work` is done. */
export async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise: aborted, reject } = promiseWithReject();
  const stop = (): void => reject(signal.reason);
  signal.addEventListener('abort', stop, { once: true });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/**
 * Does `work` within `seconds`; its signal is aborted at the limit, with a TreelineError 'update' as the reason, or when
 * `outer` is.
 */
export async function withinSeconds<T>(
  seconds: number,
  outer: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const limit = new AbortController();
  const late = new TreelineError('update', `it did not end within ${seconds} s`, {
    hint: 'A machine without KVM is slow: --timeout SECONDS gives each step more time.',
  });
  const timer = setTimeout(() => limit.abort(late), seconds * 1000);
  try {
    const signal = AbortSignal.any([outer, limit.signal]);
    return await orAborted(work(signal), signal);
  } finally {
    clearTimeout(timer);
  }
}

function promiseWithReject(): { promise: Promise<never>; reject: (reason: unknown) => void } {
  let reject: (reason: unknown) => void = () => {};
  const promise = new Promise<never>((_, refuse) => {
    reject = refuse;
  });
  return { promise, reject };
}
