import { fileSha256, readBytes, writeBytesAt } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import type { UnprovenDelta } from '../model.ts';
import { readDeltaFile } from './delta-file.ts';
import type { FromNothing } from './delta-from-nothing.ts';
import { writeDeltaFromNothing } from './delta-from-nothing.ts';
import { memoryToApply } from './delta-memory.ts';
import type { PlannedDelta } from './plan-deltas.ts';
import { ostree } from './repository.ts';

/** Decide what is in a delta, besides the commits and ostree itself. */
export const deltaOptions: readonly string[] = [
  '--inline',
  '--min-fallback-size=0',
  // MB: a part is unpacked in memory as a whole. See docs/decisions/0023-delta-sets.md.
  '--max-chunk-size=2',
];

/**
 * Makes a static delta as one inline file at `path`: the same bytes whenever and wherever it is made. Everything is in it (no
 * fallback objects), so that a system downloads one file. `from` undefined: from nothing; for `earlier` and `parts` see there.
 */
export async function makeDelta(
  host: Host,
  job: PlannedDelta & { path: string } & Partial<FromNothing>,
): Promise<UnprovenDelta> {
  const { from, to, path, earlier = [], parts } = job;
  const written =
    from === undefined && (await writeDeltaFromNothing(host, { to: to.id, path, earlier, parts }));
  if (!written) await generate(host, { from, to }, path);
  const bytes = await readBytes(path);
  const file = readDeltaFile(bytes);
  // ostree writes the time of day, and nothing ever reads it; with the commit's, the same commits give the same file.
  await writeBytesAt(path, file.timeAt, file.commitTime);
  return {
    from,
    to,
    path,
    bytes: bytes.length,
    sha256: await fileSha256(path),
    memory: memoryToApply(file),
  };
}

/** As ostree itself makes it. */
async function generate(host: Host, { from, to }: PlannedDelta, path: string): Promise<void> {
  const start = from === undefined ? ['--empty'] : [`--from=${from.id}`];
  await ostree(
    host,
    ['static-delta', 'generate', ...start, `--to=${to.id}`, ...deltaOptions, `--filename=${path}`],
    { doing: `make a static delta to ${to.id}` },
  );
}
