import { join } from 'node:path';
import { measure, remove } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import { takeLock } from '../host/lock.ts';
import { prune } from '../ostree/prune.ts';
import type { CleanPlan } from './decide.ts';
import { decide } from './decide.ts';
import type { Asked } from './needs.ts';
import type { Policy } from './plan.ts';
import { archiveOf, memoryOf } from './survey.ts';

export interface CleanOptions extends Policy, Asked {
  dryRun: boolean;
}

export interface Cleaned extends CleanPlan {
  /** Bytes of all that went, or would go. */
  freed: number;
  /** Bytes of what stays below `.treeline`. */
  left: number;
}

/**
 * Removes what the workspace keeps and does not need. First all is read and decided: a repository that is not whole stays
 * as it is (throws 'command'). Killed half-way, it has removed less. Keys, choices, heads and what the next updates start
 * from always stay. The caller holds the workspace's lock.
 */
export async function clean(host: Host, options: CleanOptions): Promise<Cleaned> {
  const plan = await host.stage('look', () => decide(host, options));
  const { bytes } = await measure(host.workspace.state);
  const freed = plan.removed.reduce(
    (sum, thing) => sum + thing.bytes,
    plan.repository.bytes + plan.archive.bytes,
  );
  if (!options.dryRun && freed + plan.removed.length > 0)
    await host.stage('remove', () => carryOut(host, plan));
  return { ...plan, freed, left: Math.max(0, bytes - freed) };
}

async function carryOut(host: Host, { removed, repository, archive }: CleanPlan): Promise<void> {
  const files = removed.map(({ name }) => name).filter((name) => name.startsWith('/'));
  // A build that comes after a half-done clean must not remember what is not there any more.
  for (const path of files.filter((name) => name.startsWith(`${memoryOf(host)}/`))) await remove(path);
  if (repository.bytes + repository.refs.length + repository.commits.length > 0)
    await prune(host, repository);
  if (archive.commits.length > 0) await whileNobodyFills(host, () => prune(host, archive));
  for (const path of files) {
    if (path === archiveOf(host)) await whileNobodyFills(host, () => remove(path));
    else await remove(path);
  }
}

/** Throws 'busy' while `npm run serve` fills the archive. */
async function whileNobodyFills(host: Host, work: () => Promise<void>): Promise<void> {
  const lock = await takeLock(join(host.workspace.state, 'archive.lock'), 'clean');
  try {
    await work();
  } finally {
    await lock.release();
  }
}
