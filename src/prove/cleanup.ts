import { anyExitCode } from '../host/command.ts';
import type { Host } from '../host/host.ts';
import { createHost } from '../host/host.ts';
import { pathExists, remove } from '../host/files.ts';

/** The same machine for what has to be done also after the user has stopped the command. */
export const unstoppable = (host: Host): Host =>
  createHost({
    workspace: host.workspace,
    log: host.log,
    signal: new AbortController().signal,
    listeners: [host.emit],
  });

/** Removes what a system left that ran in a directory: OSTree makes deployments immutable to everybody. */
export async function removeSystem(host: Host, directory: string): Promise<void> {
  if (!(await pathExists(directory))) return;
  const args = ['-R', '-f', '-i', directory];
  await unstoppable(host).run({ program: 'chattr', args, accept: anyExitCode });
  await remove(directory);
}
