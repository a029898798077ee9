import { randomUUID } from 'node:crypto';
import { dirname, join } from 'node:path';
import { fs } from 'zx';
import { removeAll, runAsRoot } from './command.mjs';

/** A copy of a commit's tree below a workspace, for what starts from the finished tree. */
export async function checkOut({ workspace, commit, to }) {
  await removeAll(to);
  await fs.ensureDir(dirname(to));
  await runAsRoot('ostree', ['checkout', `--repo=${join(workspace, '.treeline/repo')}`, commit, to]);
  return to;
}

/** `ostree commit` of a finished tree into a repository that is new, or has all of it but one file. */
export function ostreeCommit({ tree, repository, fresh }) {
  const commit = () =>
    runAsRoot('ostree', ['commit', `--repo=${repository}`, '--branch=bench', `--tree=dir=${tree}`]);
  const initialise = async () => {
    await removeAll(repository);
    await runAsRoot('ostree', ['init', `--repo=${repository}`, '--mode=bare']);
  };
  return {
    who: fresh ? 'ostree commit' : 'ostree commit, one file changed',
    role: 'part',
    does: fresh
      ? 'the finished tree into a new bare repository: no packages, no image'
      : 'the finished tree again, with another file in it, into the same repository: no packages, no image',
    prepare: async () => {
      if (fresh) return initialise();
      if (!(await fs.pathExists(repository))) {
        await initialise();
        await commit();
      }
      return runAsRoot('sh', ['-ec', 'echo "$2" >"$1"', 'sh', join(tree, 'usr/etc/bench'), randomUUID()]);
    },
    run: commit,
  };
}
