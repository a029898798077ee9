import { join } from 'node:path';
import { TreelineError } from '../host/errors.ts';
import { listTree, makeDirectory, pathExists, remove } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import type { Delta, UnprovenDelta } from '../model.ts';
import type { Applier } from './appliers.ts';
import { hostApplier, treeApplier } from './appliers.ts';
import { ostree } from './repository.ts';

const block = 4096;

/**
 * Applies a delta, as the machines will, to a scratch repository that holds nothing but the old commit: with the ostree of
 * the old commit, in a sandbox; from nothing with that of the new one, and with the host's. Then checks that the new
 * commit is there, whole and bit for bit, and signed: objects are named by their content, and fsck reads every one.
 * Returns the delta with what its objects take; throws 'update' where it is no good.
 */
export async function proveDelta(host: Host, delta: UnprovenDelta, scratch: string): Promise<Delta> {
  const directory = join(
    scratch,
    `prove-${delta.from?.id.slice(0, 12) ?? 'nothing'}-${delta.to.id.slice(0, 12)}`,
  );
  await remove(directory);
  await makeDirectory(directory);
  try {
    let unpackedBytes = 0;
    for (const applier of await chooseAppliers(host, delta, directory))
      unpackedBytes = await applyAndCompare(host, { delta, directory, applier });
    return { ...delta, unpackedBytes };
  } catch (cause) {
    if (host.signal.aborted) throw cause;
    throw new TreelineError(
      'update',
      `Cannot publish the update of ${delta.to.ref}: its delta does not give the new commit`,
      {
        hint: `Nothing was published. Run npm run build-update again; if it fails again, please report it with the log.`,
        output: cause instanceof TreelineError ? (cause.output ?? cause.message) : String(cause),
        cause,
      },
    );
  } finally {
    await remove(directory);
  }
}

/** Trees of one's own may do without ostree; then the host's has to do. */
async function chooseAppliers(
  host: Host,
  { from, to }: UnprovenDelta,
  directory: string,
): Promise<Applier[]> {
  const ownTree = await treeApplier(host, from ?? to, directory);
  if (ownTree === undefined) {
    host.log.line(`${(from ?? to).version} has no ostree: its delta is proved with this machine's`);
    return [hostApplier];
  }
  return from === undefined ? [ownTree, hostApplier] : [ownTree];
}

/** Applies in a new repository below `directory`, and compares. Returns the bytes that the new objects take. */
export async function applyAndCompare(
  host: Host,
  options: { delta: Pick<UnprovenDelta, 'from' | 'to' | 'path'>; directory: string; applier: Applier },
): Promise<number> {
  const { delta, directory, applier } = options;
  const { from, to, path } = delta;
  const repository = join(directory, 'repo');
  await remove(repository);
  await makeDirectory(repository);
  const inScratch = { repository, doing: `prove the delta ${path}` };
  await ostree(host, ['init', '--mode=bare'], inScratch);
  await ostree(host, ['config', 'set', 'core.fsync', 'false'], inScratch);
  // Hard links: the old commit costs no copy, and applying a delta only adds objects.
  if (from !== undefined) await ostree(host, ['pull-local', host.workspace.repository, from.id], inScratch);
  const before = await objectsOf(repository);
  const { program, args } = applier({ repository, delta: path });
  await host.run({ program, args, doing: inScratch.doing });
  await ostree(host, ['refs', '--create=proved', to.id], inScratch);
  await ostree(host, ['fsck', '--quiet'], inScratch);
  await compareSignatures(host, to.id, repository);
  const added = [...(await objectsOf(repository))].filter(([name]) => !before.has(name));
  return added.reduce((sum, [, size]) => sum + Math.ceil(size / block) * block, 0);
}

/** Object → bytes. */
async function objectsOf(repository: string): Promise<Map<string, number>> {
  const directory = join(repository, 'objects');
  const entries = (await pathExists(directory)) ? await listTree(directory) : [];
  return new Map(entries.filter(({ kind }) => kind !== 'directory').map(({ path, size }) => [path, size]));
}

/** A commit's signatures are not part of its id, and a system takes no commit without one that it trusts. */
async function compareSignatures(host: Host, commit: string, repository: string): Promise<void> {
  const read = ['show', '--print-detached-metadata-key=ostree.gpgsigs', commit];
  const [made, arrived] = [await ostree(host, read), await ostree(host, read, { repository })];
  if (arrived !== made)
    throw new TreelineError('update', 'The signatures that arrived are not those that were made');
}
