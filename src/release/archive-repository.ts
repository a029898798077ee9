import { join } from 'node:path';
import { TreelineError } from '../host/errors.ts';
import { pathExists } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import { takeLock } from '../host/lock.ts';
import { listRefs, makeRepository, ostree } from '../ostree/repository.ts';

/*
 * A copy of the workspace's refs in OSTree's archive mode, the one that clients can pull over HTTP; the workspace's own
 * repository is in bare mode.
 */

/** The archive repository, made where there is none yet; undefined where the workspace has built nothing. */
export async function openArchive(host: Host): Promise<string | undefined> {
  const { repository, state } = host.workspace;
  if (!(await pathExists(join(repository, 'config')))) return undefined;
  const archive = join(state, 'archive');
  await makeRepository(archive, async (path) => {
    const doing = 'make the archive repository';
    await ostree(host, ['init', '--mode=archive'], { repository: path, doing });
  });
  return archive;
}

/** Brings what is new into the archive; only that is compressed. Refs move last, so it may be read meanwhile. */
export async function fillArchive(host: Host, archive: string): Promise<void> {
  const inArchive = { repository: archive, doing: 'fill the archive repository' };
  const refs = await listRefs(host, 'treeline');
  if (refs.length === 0) return;
  const lock = await takeLock(join(host.workspace.state, 'archive.lock'), 'serve').catch((error: unknown) => {
    // Another `serve` is filling it.
    if (error instanceof TreelineError && error.code === 'busy') return undefined;
    throw error;
  });
  if (lock === undefined) return;
  try {
    await host.stage('repo', async () => {
      await ostree(host, ['pull-local', host.workspace.repository, ...refs], inArchive);
      await ostree(host, ['summary', '--update'], inArchive);
    });
  } finally {
    await lock.release();
  }
}
