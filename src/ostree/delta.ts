import { fileSha256, fileSize } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import type { Commit, UnprovenDelta } from '../model.ts';
import { ostree } from './repository.ts';

/**
 * Makes a static delta as one inline file at `path`. Everything is in it (no fallback objects), so that a system
 * downloads one file. `from` undefined: from nothing.
 */
export async function makeDelta(
  host: Host,
  { from, to, path }: { from: Commit | undefined; to: Commit; path: string },
): Promise<UnprovenDelta> {
  const start = from === undefined ? ['--empty'] : [`--from=${from.id}`];
  await ostree(
    host,
    [
      'static-delta',
      'generate',
      ...start,
      `--to=${to.id}`,
      '--inline',
      '--min-fallback-size=0',
      // MiB: a part is unpacked in memory as a whole. See docs/decisions/0023-delta-sets.md.
      '--max-chunk-size=2',
      `--filename=${path}`,
    ],
    { doing: `make a static delta to ${to.id}` },
  );
  return { from, to, path, bytes: await fileSize(path), sha256: await fileSha256(path) };
}
