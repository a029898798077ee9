import { basename, join } from 'node:path';
import { z } from 'zod';
import { TreelineError } from '../host/errors.ts';
import {
  listNames,
  makeDirectory,
  move,
  readTextIfExists,
  remove,
  writeFile,
  writeFileAtomically,
} from '../host/files.ts';
import type { Host } from '../host/host.ts';
import type { Workspace } from '../host/workspace.ts';
import type { Commit, Delta } from '../model.ts';
import type { SigningKey } from '../ostree/signing.ts';
import { signFile } from '../ostree/signing.ts';

const commitId = z.string().regex(/^[0-9a-f]{64}$/);

/** `updates/index.json`: what running systems read. Files lie beside it. */
const indexSchema = z.strictObject({
  format: z.literal(1),
  refs: z.record(
    z.string(),
    z.strictObject({ commit: commitId, version: z.string(), timestamp: z.number().int() }),
  ),
  deltas: z.array(
    z.strictObject({
      ref: z.string(),
      from: commitId.nullable(),
      to: commitId,
      file: z.string().regex(/^[\w-][\w.-]*\.delta$/),
      bytes: z.number().int().min(0),
      sha256: z.string(),
    }),
  ),
});
export type UpdateIndex = z.infer<typeof indexSchema>;

export const updatesDirectory = (workspace: Workspace): string => join(workspace.output, 'updates');

/** The published index, or an empty one where there is none. Throws 'update' where the file is damaged. */
export async function readIndex(workspace: Workspace): Promise<UpdateIndex> {
  const path = join(updatesDirectory(workspace), 'index.json');
  const text = await readTextIfExists(path);
  if (text === undefined) return { format: 1, refs: {}, deltas: [] };
  try {
    return indexSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new TreelineError('update', `Cannot read ${path}: it is not an update index`, {
      hint: 'Restore it from your web server, or remove the directory: the next npm run build-update makes it anew.',
      cause,
    });
  }
}

/** A delta's file name: `<ref>-<from>-<to>.delta`, commits by their first 12 digits. */
export function deltaFileName(ref: string, from: string | undefined, to: string): string {
  const name = ref.split('/').slice(1).join('-');
  return `${name}-${from?.slice(0, 12) ?? 'from-nothing'}-${to.slice(0, 12)}.delta`;
}

/** Pure: the index after publishing `deltas` to `commits`. Deltas to commits that are neither a head nor its parent go. */
export function nextIndex(
  index: UpdateIndex,
  commits: readonly Commit[],
  deltas: readonly Delta[],
): UpdateIndex {
  const heads = commits.map(
    ({ ref, id, version, timestamp }) => [ref, { commit: id, version, timestamp }] as const,
  );
  const refs = Object.fromEntries(
    [...Object.entries(index.refs), ...heads].toSorted(([a], [b]) => (a < b ? -1 : 1)),
  );
  const added = deltas.map(({ ref, from, to, path, bytes, sha256 }) => ({
    ref,
    from: from ?? null,
    to,
    file: basename(path),
    bytes,
    sha256,
  }));
  const replaced = new Set(added.map((delta) => delta.file));
  const updated = new Set(commits.map((commit) => commit.ref));
  const current = new Set(commits.flatMap(({ id, parent }) => [id, parent]));
  const kept = index.deltas.filter(
    (delta) => (!updated.has(delta.ref) || current.has(delta.to)) && !replaced.has(delta.file),
  );
  const all = [...added, ...kept].toSorted((a, b) => (a.file < b.file ? -1 : 1));
  return { format: 1, refs, deltas: all };
}

/** Moves the delta files into place, then the signature and the index; readers never see an index without its files. */
export async function publishIndex(
  host: Host,
  { index, deltas, key }: { index: UpdateIndex; deltas: readonly Delta[]; key: SigningKey },
): Promise<void> {
  const directory = updatesDirectory(host.workspace);
  await makeDirectory(directory);
  for (const delta of deltas) await move(delta.path, join(directory, basename(delta.path)));
  const text = formatIndex(index);
  const unsigned = join(host.workspace.temporary, 'index.json');
  await writeFile(unsigned, text);
  const signature = await signFile(host, key, unsigned);
  await writeFileAtomically(join(directory, 'index.json.sig'), signature);
  await writeFileAtomically(join(directory, 'index.json'), text);
  const listed = new Set(index.deltas.map((delta) => delta.file));
  for (const name of await listNames(directory)) {
    if (name.endsWith('.delta') && !listed.has(name)) await remove(join(directory, name));
  }
}

function formatIndex(index: UpdateIndex): string {
  const refs = Object.entries(index.refs).map(
    ([ref, head]) => `    ${JSON.stringify(ref)}: ${JSON.stringify(head)}`,
  );
  const deltas = index.deltas.map((delta) => `    ${JSON.stringify(delta)}`);
  return `{\n  "format": 1,\n  "refs": {\n${refs.join(',\n')}\n  },\n  "deltas": [\n${deltas.join(',\n')}\n  ]\n}\n`;
}
