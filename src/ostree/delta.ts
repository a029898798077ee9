import { join } from 'node:path';
import { fileSha256, fileSize, makeDirectory, remove } from '../host/files.ts';
import { TreelineError } from '../host/errors.ts';
import type { Host } from '../host/host.ts';
import type { Commit, Delta } from '../model.ts';
import { ostree } from './repository.ts';

/**
 * Makes a static delta as one inline file at `path`. Everything is in it (no fallback objects), so that a system
 * downloads one file. `from` undefined: from nothing.
 */
export async function makeDelta(
  host: Host,
  { from, to, path }: { from: string | undefined; to: Commit; path: string },
): Promise<Delta> {
  const start = from === undefined ? ['--empty'] : [`--from=${from}`];
  await ostree(
    host,
    [
      'static-delta',
      'generate',
      ...start,
      `--to=${to.id}`,
      '--inline',
      '--min-fallback-size=0',
      `--filename=${path}`,
    ],
    { doing: `make a static delta to ${to.id}` },
  );
  return { ref: to.ref, from, to: to.id, path, bytes: await fileSize(path), sha256: await fileSha256(path) };
}

/**
 * Applies a delta to a scratch repository that holds nothing but the old commit, and checks that the new commit is
 * there, whole and bit for bit, and signed: objects are named by their content, and fsck reads every one. Throws 'update'.
 */
export async function proveDelta(host: Host, delta: Delta, scratch: string): Promise<void> {
  const repository = join(scratch, `prove-${delta.from?.slice(0, 12) ?? 'nothing'}-${delta.to.slice(0, 12)}`);
  await remove(repository);
  await makeDirectory(repository);
  const inScratch = { repository, doing: `prove the delta ${delta.path}` };
  try {
    await ostree(host, ['init', '--mode=bare'], inScratch);
    await ostree(host, ['config', 'set', 'core.fsync', 'false'], inScratch);
    // Hard links: the old commit costs no copy, and applying a delta only adds objects.
    if (delta.from !== undefined)
      await ostree(host, ['pull-local', host.workspace.repository, delta.from], inScratch);
    await ostree(host, ['static-delta', 'apply-offline', delta.path], inScratch);
    await ostree(host, ['refs', '--create=proved', delta.to], inScratch);
    await ostree(host, ['fsck', '--quiet'], inScratch);
    await compareSignatures(host, delta, repository);
  } catch (cause) {
    if (host.signal.aborted) throw cause;
    throw new TreelineError(
      'update',
      `Cannot publish the update of ${delta.ref}: its delta does not give the new commit`,
      {
        hint: `Nothing was published. Run npm run build-update again; if it fails again, please report it with the log.`,
        output: cause instanceof TreelineError ? (cause.output ?? cause.message) : String(cause),
        cause,
      },
    );
  } finally {
    await remove(repository);
  }
}

/** A commit's signature is not part of its id, and a system takes no commit without it. */
async function compareSignatures(host: Host, delta: Delta, repository: string): Promise<void> {
  const read = ['show', '--print-detached-metadata-key=ostree.gpgsigs', delta.to];
  const [made, arrived] = [await ostree(host, read), await ostree(host, read, { repository })];
  if (arrived !== made)
    throw new TreelineError('update', 'The signature that arrived is not the one that was made');
}
