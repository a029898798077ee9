import { join } from 'node:path';
import { markUsed, readTextIfExists, writeFileAtomically } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import type { Commit } from '../model.ts';
import { readCommit } from './repository.ts';

/** Which commit came out of which inputs, so that the same inputs need not be built again. */
const fileOf = (host: Host, inputs: string): string => join(host.workspace.cache, 'commits', inputs);

/** The commit that `inputs` gave before, if it is the head, or would be built on the head again. */
export async function recallCommit(
  host: Host,
  { ref, inputs, head }: { ref: string; inputs: string; head: Commit | undefined },
): Promise<Commit | undefined> {
  const id = await readTextIfExists(fileOf(host, inputs));
  if (id === undefined) return undefined;
  await markUsed(fileOf(host, inputs));
  if (id === head?.id) return head;
  const commit = await readCommit(host, ref, id);
  return commit !== undefined && commit.parent === head?.id ? commit : undefined;
}

export const rememberCommit = (host: Host, inputs: string, commit: Commit): Promise<void> =>
  writeFileAtomically(fileOf(host, inputs), commit.id);
