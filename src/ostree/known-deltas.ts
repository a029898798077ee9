import { join } from 'node:path';
import { z } from 'zod';
import { codeDigest } from '../host/code.ts';
import {
  copy,
  fileSha256,
  makeDirectory,
  markUsed,
  makeHardLink,
  pathExists,
  readTextIfExists,
  remove,
  sha256,
  writeFileAtomically,
} from '../host/files.ts';
import type { Host } from '../host/host.ts';
import { toolStamps } from '../host/tool-stamps.ts';
import type { Delta, KernelPair } from '../model.ts';
import { deltaOptions } from './delta.ts';
import { pairFile } from './kernel-pair.ts';
import type { PlannedDelta } from './plan-deltas.ts';
import { ostree } from './repository.ts';

/*
 * Deltas that were made and proved, in `cache/deltas`: KEY.delta, a hard link to the published file where that is possible, and
 * KEY.json, written last. What is removed there is made anew when it is needed.
 */

const fileFields = {
  bytes: z.number().int().min(0),
  sha256: z.string(),
  unpackedBytes: z.number().int().min(0),
};
const memory = z.number().int().min(0);
const recordSchema = z.strictObject({
  ...fileFields,
  memory,
  /** Its files are KEY-kernel.delta and KEY-rest.delta. */
  pair: z
    .strictObject({
      kernel: z.strictObject({ from: z.string(), to: z.string(), ...fileFields }),
      rest: z.strictObject({ from: z.string(), ...fileFields }),
      memory,
    })
    .optional(),
});

/** A proved delta as it was made before, at `path`; undefined where none is kept that is whole. */
export async function recallDelta(
  host: Host,
  { from, to }: PlannedDelta,
  path: string,
): Promise<Delta | undefined> {
  const { kept, record } = await placeOf(host, { from, to });
  const known = parseRecord(await readTextIfExists(record));
  if (known === undefined) return undefined;
  const { pair, ...plain } = known;
  const files = [
    { at: kept, as: path, sha256: plain.sha256 },
    ...(pair === undefined
      ? []
      : (['kernel', 'rest'] as const).map((part) => ({
          ...{ at: pairFile(kept, part), as: pairFile(path, part) },
          sha256: pair[part].sha256,
        }))),
  ];
  for (const { at, sha256: wanted } of files)
    if (!(await pathExists(at)) || (await fileSha256(at)) !== wanted) return undefined;
  for (const used of [record, ...files.map(({ at }) => at)]) await markUsed(used);
  for (const { at, as } of files) await linkOrCopy(at, as);
  const delta = { from, to, path, ...plain };
  if (pair === undefined) return delta;
  const placed = { path: pairFile(path, 'kernel'), ...pair.kernel };
  return {
    ...delta,
    pair: { kernel: placed, rest: { path: pairFile(path, 'rest'), ...pair.rest }, memory: pair.memory },
  };
}

/** Keeps a proved delta. */
export async function rememberDelta(host: Host, delta: Delta): Promise<void> {
  const { directory, kept, record } = await placeOf(host, delta);
  const { from: _from, to: _to, path, pair, ...plain } = delta;
  await makeDirectory(directory);
  await linkOrCopy(path, kept);
  if (pair !== undefined)
    for (const part of ['kernel', 'rest'] as const) await linkOrCopy(pair[part].path, pairFile(kept, part));
  await writeFileAtomically(record, JSON.stringify({ ...plain, ...(pair && { pair: withoutPaths(pair) }) }));
}

function withoutPaths({ kernel, rest, memory: needed }: KernelPair) {
  const [{ path: _kernel, ...kernelFile }, { path: _rest, ...restFile }] = [kernel, rest];
  return { kernel: kernelFile, rest: restFile, memory: needed };
}

/** By all that decides the bytes: a commit's signatures travel with it, and are no part of its name. */
async function placeOf(host: Host, { from, to }: PlannedDelta) {
  const signatures = await ostree(host, ['show', '--print-detached-metadata-key=ostree.gpgsigs', to.id], {
    accept: [0, 1],
  });
  const key = sha256(
    JSON.stringify([
      ...[codeDigest(), toolStamps(['ostree', 'xz']), deltaOptions],
      ...[from?.id ?? null, to.id, sha256(signatures)],
    ]),
  );
  const directory = join(host.workspace.cache, 'deltas');
  return { directory, kept: join(directory, `${key}.delta`), record: join(directory, `${key}.json`) };
}

function parseRecord(text: string | undefined): z.infer<typeof recordSchema> | undefined {
  try {
    return recordSchema.parse(JSON.parse(text ?? ''));
  } catch {
    return undefined;
  }
}

/** `--output` may be on another file system. */
async function linkOrCopy(from: string, to: string): Promise<void> {
  await remove(to);
  await makeHardLink(from, to).catch(() => copy(from, to));
}
