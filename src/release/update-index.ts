import { basename, join } from 'node:path';
import { z } from 'zod';
import { TreelineError } from '../host/errors.ts';
import { fileSize, pathExists, readTextIfExists } from '../host/files.ts';
import type { Workspace } from '../host/workspace.ts';
import type { Commit, Delta, DeltaFile, KernelPair } from '../model.ts';

const commitId = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.number().int().min(0);
const fileFields = {
  file: z.string().regex(/^[\w-][\w.-]*\.delta$/),
  bytes: count,
  unpackedBytes: count,
  sha256: z.string(),
};
const refs = z.record(
  z.string(),
  z.strictObject({ commit: commitId, version: z.string(), timestamp: z.number().int() }),
);

/** What travels in place of a delta, where only the kernel's own parts do; see KernelPair. Machines that know none pass over it. */
const pairSchema = z.strictObject({
  kernel: z.strictObject({ from: commitId, to: commitId, ...fileFields }),
  rest: z.strictObject({ from: commitId, ...fileFields }),
  memory: count,
});

/** `updates/index.json`: what running systems read. Files lie beside it. */
const indexSchema = z.strictObject({
  format: z.literal(2),
  refs,
  deltas: z.array(
    z.strictObject({
      ref: z.string(),
      from: commitId.nullable(),
      fromVersion: z.string().nullable(),
      to: commitId,
      version: z.string(),
      /** Of `to`. */
      timestamp: z.number().int(),
      ...fileFields,
      memory: count,
      pair: pairSchema.optional(),
    }),
  ),
});
export type UpdateIndex = z.infer<typeof indexSchema>;
export type IndexedDelta = UpdateIndex['deltas'][number];

/** What earlier versions wrote; its deltas lack what we say of them today, so that they are made anew. */
const firstSchema = z
  .object({ format: z.literal(1), refs })
  .transform((index): UpdateIndex => ({ format: 2, refs: index.refs, deltas: [] }));

export const updatesDirectory = (workspace: Workspace): string => join(workspace.output, 'updates');
export const indexFile = (workspace: Workspace): string => join(updatesDirectory(workspace), 'index.json');

/** The published index, or an empty one where there is none. Throws 'update' where the file is damaged. */
export async function readIndex(workspace: Workspace): Promise<UpdateIndex> {
  const path = indexFile(workspace);
  const text = await readTextIfExists(path);
  if (text === undefined) return { format: 2, refs: {}, deltas: [] };
  try {
    return z.union([indexSchema, firstSchema]).parse(JSON.parse(text));
  } catch (cause) {
    throw new TreelineError('update', `Cannot read ${path}: it is not an update index`, {
      hint: 'Restore it from your web server, or remove the directory: the next npm run build-update makes it anew.',
      cause,
    });
  }
}

/** A delta's own file, and those of its pair. */
export const filesOf = ({ file, bytes, pair }: IndexedDelta): { file: string; bytes: number }[] => [
  { file, bytes },
  ...(pair === undefined ? [] : [pair.kernel, pair.rest]),
];

/** The deltas of the index whose files are all there, as long as it says. */
export async function presentDeltas(workspace: Workspace, index: UpdateIndex): Promise<IndexedDelta[]> {
  const present: IndexedDelta[] = [];
  for (const delta of index.deltas) {
    if ((await Promise.all(filesOf(delta).map((part) => isPresent(workspace, part)))).every(Boolean))
      present.push(delta);
  }
  return present;
}

async function isPresent(
  workspace: Workspace,
  { file, bytes }: { file: string; bytes: number },
): Promise<boolean> {
  const path = join(updatesDirectory(workspace), file);
  return (await pathExists(path)) && (await fileSize(path)) === bytes;
}

/** A delta's file name: `<ref>-<from>-<to>.delta`, commits by their first 12 digits. */
export function deltaFileName(ref: string, from: string | undefined, to: string): string {
  const name = ref.split('/').slice(1).join('-');
  return `${name}-${from?.slice(0, 12) ?? 'from-nothing'}-${to.slice(0, 12)}.delta`;
}

/** A release that becomes the head of its ref, and those before it that a delta leads from to it. */
export interface IndexedHead {
  commit: Commit;
  /** Commits. */
  before: readonly string[];
}

/**
 * Pure: the index after publishing `deltas` to the heads. Of the deltas that were there, those to a head or to a release
 * that a delta leads from stay, so that chains lead from older releases; from nothing, those to a head.
 */
export function nextIndex(
  index: UpdateIndex,
  heads: readonly IndexedHead[],
  deltas: readonly Delta[],
): UpdateIndex {
  const newRefs = heads.map(
    ({ commit: { ref, id, version, timestamp } }) => [ref, { commit: id, version, timestamp }] as const,
  );
  const allRefs = [...Object.entries(index.refs), ...newRefs];
  const added = deltas.map(describeDelta);
  const replaced = new Set(added.map((delta) => delta.file));
  const kept = index.deltas.filter((delta) => {
    const head = heads.find(({ commit }) => commit.ref === delta.ref);
    if (replaced.has(delta.file)) return false;
    if (head === undefined || delta.to === head.commit.id) return true;
    return delta.from !== null && head.before.includes(delta.to);
  });
  return {
    format: 2,
    refs: Object.fromEntries([...new Map(allRefs)].toSorted(([a], [b]) => (a < b ? -1 : 1))),
    deltas: [...added, ...kept].toSorted((a, b) => (a.file < b.file ? -1 : 1)),
  };
}

function describeDelta(delta: Delta): IndexedDelta {
  const { from, to, path, bytes, unpackedBytes, memory, sha256, pair } = delta;
  return {
    ref: to.ref,
    from: from?.id ?? null,
    fromVersion: from?.version ?? null,
    to: to.id,
    version: to.version,
    timestamp: to.timestamp,
    file: basename(path),
    bytes,
    unpackedBytes,
    memory,
    sha256,
    ...(pair === undefined ? {} : { pair: describePair(pair) }),
  };
}

function describePair({ kernel, rest, memory }: KernelPair): IndexedDelta['pair'] {
  const describe = ({ path, bytes, unpackedBytes, sha256 }: DeltaFile) => ({
    file: basename(path),
    bytes,
    unpackedBytes,
    sha256,
  });
  return {
    kernel: { from: kernel.from, to: kernel.to, ...describe(kernel) },
    rest: { from: rest.from, ...describe(rest) },
    memory,
  };
}

/** JSON for people: refs and deltas one a line. */
export function formatIndex(index: UpdateIndex): string {
  const refLines = Object.entries(index.refs).map(
    ([ref, head]) => `    ${JSON.stringify(ref)}: ${JSON.stringify(head)}`,
  );
  const deltas = index.deltas.map((delta) => `    ${JSON.stringify(delta)}`);
  return `{\n  "format": 2,\n  "refs": {\n${refLines.join(',\n')}\n  },\n  "deltas": [\n${deltas.join(',\n')}\n  ]\n}\n`;
}
