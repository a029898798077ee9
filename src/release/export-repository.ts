import { join } from 'node:path';
import { makeDirectory, pathExists } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import { listRefs, ostree } from '../ostree/repository.ts';

/**
 * A copy of the workspace's refs in OSTree's archive mode, the one that clients can pull over HTTP; the workspace's own
 * repository is in bare mode. Only what is new is compressed. Returns its path, or undefined where nothing was built.
 */
export async function exportRepository(host: Host): Promise<string | undefined> {
  const { repository, state } = host.workspace;
  if (!(await pathExists(join(repository, 'config')))) return undefined;
  const refs = await listRefs(host, 'treeline');
  if (refs.length === 0) return undefined;
  const archive = join(state, 'archive');
  const inArchive = { repository: archive, doing: 'export the repository' };
  return host.stage('export', async () => {
    if (!(await pathExists(join(archive, 'config')))) {
      await makeDirectory(archive);
      await ostree(host, ['init', '--mode=archive'], inArchive);
    }
    await ostree(host, ['pull-local', repository, ...refs], inArchive);
    await ostree(host, ['summary', '--update'], inArchive);
    return archive;
  });
}
