import { TreelineError } from '../host/errors.ts';
import type { Host } from '../host/host.ts';

/**
 * The text of one file of a commit, or undefined where the commit has no such file. `path`: in the tree, without a leading
 * slash. Throws 'command' where the commit or the file cannot be read.
 */
export async function readCommittedText(
  host: Host,
  commit: string,
  path: string,
): Promise<string | undefined> {
  const { repository } = host.workspace;
  const shown = await host.run({
    program: 'ostree',
    args: [`--repo=${repository}`, 'cat', commit, path],
    accept: [0, 1],
  });
  if (shown.exitCode === 0) return shown.stdout;
  if (shown.stderr.startsWith('error: No such file or directory: /')) return undefined;
  throw new TreelineError('command', `Cannot read ${path} of commit ${commit}: ostree failed`, {
    hint: `ostree --repo=${repository} fsck tells whether the repository is whole.`,
    output: shown.stderr.trim(),
  });
}
