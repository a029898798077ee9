import { isMap, isScalar, LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { TreelineError } from '../host/errors.ts';
import { readTextIfExists } from '../host/files.ts';
import { nearestName } from '../host/nearest.ts';

/** `treeline.yaml`: a workspace's defaults for options of the same names. */
export const settingsSchema = z.strictObject({
  base: z.string().optional(),
  arch: z.string().optional(),
  services: z.array(z.string()).optional(),
  overlay: z.array(z.string()).optional(),
  mirror: z.array(z.string()).optional(),
  lock: z.string().optional(),
  layout: z.string().optional(),
  'ssh-key': z.array(z.string()).optional(),
  'update-url': z.url({ protocol: /^https?$/ }).optional(),
  keep: z.number().int().min(1).optional(),
  'sign-key': z.array(z.string().min(1)).optional(),
  deltas: z.number().int().min(1).optional(),
  'valid-days': z.number().int().min(1).max(3650).optional(),
  flat: z.boolean().optional(),
  qcow2: z.boolean().optional(),
});
export type WorkspaceSettings = z.infer<typeof settingsSchema>;

/** Reads the file; no file, no settings. Throws 'usage' with every mistake in it as file:line. */
export async function readSettings(path: string): Promise<WorkspaceSettings> {
  const text = await readTextIfExists(path);
  if (text === undefined) return {};
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const at = (offset: number | undefined): string =>
    offset === undefined ? path : `${path}:${lines.linePos(offset).line}`;
  const problems = document.errors.map((error) => `${at(error.pos[0])}: ${error.message.split('\n')[0]}`);
  const parsed = settingsSchema.safeParse(
    problems.length === 0 ? readDocument(document, problems, path) : {},
  );
  if (problems.length === 0 && parsed.success) return parsed.data;
  for (const issue of parsed.error?.issues ?? []) {
    if (issue.code !== 'unrecognized_keys') {
      problems.push(`${at(offsetOf(document, issue.path))}: ${issue.path.join('.')}: ${issue.message}`);
      continue;
    }
    for (const key of issue.keys) {
      const nearest = nearestName(key, Object.keys(settingsSchema.shape));
      const mean =
        nearest === undefined
          ? `known: ${Object.keys(settingsSchema.shape).join(', ')}`
          : `did you mean ${nearest}?`;
      problems.push(`${at(offsetOfKey(document, key))}: unknown setting ${key}; ${mean}`);
    }
  }
  throw new TreelineError('usage', `Cannot use the settings: ${problems.join('; ')}`, {
    hint: `Correct ${path}; docs/settings.md lists what it may hold.`,
  });
}

/** An alias without an anchor is only found here. */
function readDocument(document: ReturnType<typeof parseDocument>, problems: string[], path: string): unknown {
  try {
    return document.toJS() ?? {};
  } catch (error) {
    problems.push(`${path}: ${(error as Error).message}`);
    return {};
  }
}

function offsetOfKey(document: ReturnType<typeof parseDocument>, key: string): number | undefined {
  const pairs = isMap(document.contents) ? document.contents.items : [];
  const found = pairs.map((pair) => pair.key).find((node) => isScalar(node) && String(node.value) === key);
  return isScalar(found) ? found.range?.[0] : undefined;
}

function offsetOf(
  document: ReturnType<typeof parseDocument>,
  path: readonly PropertyKey[],
): number | undefined {
  const node = document.getIn(path as string[], true) as { range?: [number, number, number] } | undefined;
  return node?.range?.[0];
}
