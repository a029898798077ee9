import { join } from 'node:path';
import { isMap, isPair, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import type { Document } from 'yaml';
import { z } from 'zod';
import { knownNamesHint } from '../host/nearest.ts';
import type { Origin } from '../model.ts';
import { layerFileSchema } from './layer-file.ts';
import type { LayerFile } from './layer-file.ts';
import { readLayerText } from './layer-text.ts';
import type { FoundLayer } from './layers.ts';
import type { Problems } from './problems.ts';

type Path = readonly PropertyKey[];

/** What one `layer.yaml` says; empty where a layer has none or it cannot be used, which is a problem. */
export interface ReadLayerFile {
  layer: FoundLayer;
  file: LayerFile;
  /** Where in the file a value stands: `origin('users', 0, 'uid')`. */
  origin(...path: PropertyKey[]): Origin;
}

export async function readLayerFile(layer: FoundLayer, problems: Problems): Promise<ReadLayerFile> {
  const text = await readLayerText(layer, 'layer.yaml', problems);
  const { data, origin } = parseYaml(layer, 'layer.yaml', text ?? '', problems);
  const file = validate(layerFileSchema, { data, origin }, problems);
  return { layer, file: file ?? {}, origin: (...path) => origin(path) };
}

export interface ParsedYaml {
  /** undefined: could not be parsed. */
  data: unknown;
  origin(path: Path, key?: PropertyKey): Origin;
}

/** Parses YAML (or JSON, which is a subset of it), keeping line numbers. */
export function parseYaml(layer: FoundLayer, name: string, text: string, problems: Problems): ParsedYaml {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const base = { layer: layer.name, file: join(layer.directory, name) };
  const at = (offset: number): Origin => ({ ...base, line: lines.linePos(offset).line });
  for (const { message, pos } of [...document.errors, ...document.warnings])
    problems.add(at(pos[0]), message);
  return {
    data: document.errors.length > 0 ? undefined : toData(document, base, problems),
    origin(path, key) {
      const offset = findOffset(document, key === undefined ? path : [...path, key]);
      return offset === undefined ? base : at(offset);
    },
  };
}

function toData(document: Document, base: Origin, problems: Problems): unknown {
  try {
    return document.toJS() ?? {};
  } catch (error) {
    problems.add(base, (error as Error).message);
    return undefined;
  }
}

/** Where the key or the list entry that a path ends in begins; of its nearest parent where it does not exist. */
function findOffset(document: Document, path: Path): number | undefined {
  let node: unknown = document.contents;
  let offset: number | undefined;
  for (const step of path) {
    let next: unknown;
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && key.value === step);
      const key = pair?.key;
      if (isScalar(key) && key.range != null) offset = key.range[0];
      next = pair?.value;
    } else if (isSeq(node)) {
      next = node.items[Number(step)];
      const range = isPair(next)
        ? undefined
        : (next as { range?: [number, number, number] | null } | undefined)?.range;
      if (range != null) offset = range[0];
    }
    if (next === undefined || next === null) break;
    node = next;
  }
  return offset;
}

/** The data as the schema's type, or undefined, every issue being a problem with its line. */
export function validate<T>(
  schema: z.ZodType<T>,
  { data, origin }: ParsedYaml,
  problems: Problems,
): T | undefined {
  if (data === undefined) return undefined;
  const result = schema.safeParse(data);
  if (result.success) return result.data;
  for (const issue of result.error.issues) {
    if (issue.code === 'unrecognized_keys') {
      const known = knownKeys(schema, issue.path);
      for (const key of issue.keys) {
        problems.add(
          origin(issue.path, key),
          `unknown setting ${dotted([...issue.path, key])}. ${knownNamesHint(key, known)}`,
        );
      }
    } else {
      problems.add(origin(issue.path), describe(issue, valueAt(data, issue.path)));
    }
  }
  return undefined;
}

function describe(issue: z.core.$ZodIssue, value: unknown): string {
  const setting = dotted(issue.path) || 'the file';
  if (issue.code === 'invalid_value')
    return `${setting}: must be ${issue.values.join(' or ')}, not ${shown(value)}`;
  if (issue.code !== 'invalid_type') return `${setting}: ${issue.message}${quoted(issue, value)}`;
  if (value === undefined) return `${setting} is missing`;
  if (value === null) return `${setting} has no value; it must be ${kinds[issue.expected] ?? issue.expected}`;
  if (isSecret(issue)) return `${setting}: must be text`;
  const quotes =
    issue.expected === 'string' && typeof value !== 'object' ? `; put it in quotes: '${String(value)}'` : '';
  return `${setting}: must be ${kinds[issue.expected] ?? issue.expected}, not ${shown(value)}${quotes}`;
}

const kinds: Readonly<Record<string, string>> = {
  string: 'text',
  object: 'settings, one `name: value` a line',
  record: 'settings, one `name: value` a line',
  array: 'a list',
  boolean: 'true or false',
  number: 'a number',
  int: 'a whole number',
};

/** The offending value in brackets; never what might be a password. */
function quoted(issue: z.core.$ZodIssue, value: unknown): string {
  return isSecret(issue) || (issue.code === 'custom' && typeof value === 'object')
    ? ''
    : ` (it is ${shown(value)})`;
}

const isSecret = (issue: z.core.$ZodIssue): boolean => issue.path.at(-1) === 'password';

function shown(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'settings';
  return typeof value === 'string' ? `'${value}'` : String(value);
}

/** `users[0].uid` */
function dotted(path: Path): string {
  return path
    .map((step, index) =>
      typeof step === 'number' ? `[${step}]` : `${index === 0 ? '' : '.'}${String(step)}`,
    )
    .join('');
}

function valueAt(data: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (value, step) => (value as Record<PropertyKey, unknown> | undefined)?.[step],
    data,
  );
}

function knownKeys(schema: z.ZodType, path: Path): string[] {
  let current: unknown = unwrap(schema);
  for (const step of path) {
    if (current instanceof z.ZodArray) current = unwrap(current.element);
    else if (current instanceof z.ZodObject) current = unwrap(current.shape[String(step)]);
  }
  return current instanceof z.ZodObject ? Object.keys(current.shape) : [];
}

function unwrap(schema: unknown): unknown {
  return schema instanceof z.ZodOptional ? unwrap(schema.unwrap()) : schema;
}
