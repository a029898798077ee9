import { TreelineError } from '../host/errors.ts';
import type { Workspace } from '../host/workspace.ts';

/** How ostree tells that an object it needs is not there, or is not what its name says. */
const damage =
  /\.(file|dirtree|dirmeta|commit): (linkat|openat|fstatat)|(No such|Couldn't find) \w+ object|orrupted/;

/**
 * Adds to the error of an ostree command that met a damaged repository what to do about it: packages and layers give
 * most objects anew. Other errors are returned as they are.
 */
export function explainingDamage(error: unknown, { repository, cache }: Workspace): unknown {
  if (!(error instanceof TreelineError) || error.code !== 'command' || !damage.test(error.output ?? ''))
    return error;
  const message = error.message.replace(/: \S+ failed \(.*\)$/, '');
  return new TreelineError('command', `${message}: the repository ${repository} is damaged`, {
    hint:
      `Make the build write again what it can: rm -r ${repository}/refs/heads/cache ${cache}/commits, then run the same command. ` +
      `ostree fsck --repo=${repository} shows what is still missing.`,
    output: error.output,
    cause: error,
  });
}
