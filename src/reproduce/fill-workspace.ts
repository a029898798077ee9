import { join } from 'node:path';
import { makeDirectory, pathExists } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import { openWorkspace } from '../host/workspace.ts';
import { openRepository, ostree } from '../ostree/repository.ts';

/** What of a workspace's cache was downloaded; the rest is made of it, and belongs to that workspace. */
const downloads = ['packages', 'apt', 'apk'];

/** A new workspace with another one's keys and downloads, as far as that has any, and a repository with nothing in it. */
export async function fillWorkspace(host: Host, { from, to }: { from: string; to: string }): Promise<void> {
  const [source, target] = [openWorkspace(from), openWorkspace(to)];
  await makeDirectory(target.cache);
  const pairs = [
    [source.keys, target.keys],
    ...downloads.map((name) => [join(source.cache, name), join(target.cache, name)]),
  ] as [string, string][];
  for (const [path, copied] of pairs) {
    if (await pathExists(path)) await host.run({ program: 'cp', args: ['--archive', path, copied] });
  }
  await openRepository({ ...host, workspace: target });
  // ostree removes unfinished work of an earlier day, and in another time that of another program is of an earlier day.
  await ostree(host, ['config', 'set', 'core.tmp-expiry-secs', '3153600000'], {
    repository: target.repository,
  });
}
