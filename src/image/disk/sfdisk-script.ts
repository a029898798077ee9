import { knownNamesHint } from '../../host/nearest.ts';
import { TreelineError } from '../../host/errors.ts';

/** A partition line as a person or `sfdisk -d` wrote it. */
export interface ScriptPartition {
  /** Counted from 1. */
  line: number;
  name: string | undefined;
  /** As written: a shortcut (`U`), a GUID, a DOS code (`83`) or a type's name. */
  type: string | undefined;
  /** Bytes. */
  start: number | undefined;
  /** Bytes; 'rest': up to the end of the disk. */
  size: number | 'rest';
  bootable: boolean;
  attributes: string | undefined;
  uuid: string | undefined;
}

/** An sfdisk script (sfdisk(8), "Named-fields format"), read but not yet judged. */
export interface SfdiskScript {
  label: 'gpt' | 'dos';
  labelId: string | undefined;
  /** Bytes from the beginning of the disk. */
  firstUsable: number | undefined;
  /** Bytes: the first byte behind the part of the disk that partitions may use. */
  endUsable: number | undefined;
  partitions: readonly ScriptPartition[];
}

export const sectorBytes = 512;

const headers = [
  'label',
  'label-id',
  'unit',
  'sector-size',
  'first-lba',
  'last-lba',
  'device',
  'grain',
  'table-length',
] as const;
const fields = ['start', 'size', 'type', 'id', 'name', 'uuid', 'attrs', 'bootable'] as const;
const units: Readonly<Record<string, number>> = {
  K: 2 ** 10,
  KIB: 2 ** 10,
  M: 2 ** 20,
  MIB: 2 ** 20,
  G: 2 ** 30,
  GIB: 2 ** 30,
  T: 2 ** 40,
  TIB: 2 ** 40,
};

/** `name` is the file's name in messages. Throws TreelineError 'layout' at the first line that cannot be read. */
export function parseSfdiskScript(text: string, name: string): SfdiskScript {
  const values = new Map<string, string>();
  const partitions: ScriptPartition[] = [];
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const where = `${name}:${index + 1}`;
    const content = withoutComment(raw).trim();
    if (content === '') continue;
    const header = /^([A-Za-z][\w-]*):\s*(.*)$/.exec(content);
    if (header !== null && !/^\/|=/.test(content)) values.set(...readHeader(header[1]!, header[2]!, where));
    else partitions.push(readPartition(content, index + 1, where));
  }
  const sectors = (header: string): number | undefined =>
    values.has(header) ? Number(values.get(header)) * sectorBytes : undefined;
  const last = sectors('last-lba');
  return {
    label: (values.get('label') ?? 'dos') as 'gpt' | 'dos',
    labelId: values.get('label-id'),
    firstUsable: sectors('first-lba'),
    endUsable: last === undefined ? undefined : last + sectorBytes,
    partitions,
  };
}

function withoutComment(line: string): string {
  const quotesBefore = (end: number): number => line.slice(0, end).split('"').length - 1;
  for (let at = line.indexOf('#'); at >= 0; at = line.indexOf('#', at + 1)) {
    if (quotesBefore(at) % 2 === 0) return line.slice(0, at);
  }
  return line;
}

function readHeader(header: string, value: string, where: string): [string, string] {
  const name = header.toLowerCase();
  if (!headers.includes(name as (typeof headers)[number])) {
    throw layoutError(where, `there is no header '${header}'`, knownNamesHint(name, headers));
  }
  const wanted: Partial<Record<string, [RegExp, string]>> = {
    label: [/^(gpt|dos)$/i, 'Write label: gpt or label: dos; nothing else boots.'],
    unit: [/^sectors$/i, 'sfdisk knows unit: sectors only; sizes may carry MiB or GiB instead.'],
    'sector-size': [
      /^512$/,
      'Disk images have sectors of 512 bytes; write sizes with MiB instead of converting sectors.',
    ],
    'first-lba': [/^\d+$/, 'Give a number of sectors, e.g. first-lba: 2048.'],
    'last-lba': [/^\d+$/, 'Give a number of sectors.'],
    'label-id': [
      /^(0x[0-9a-f]{1,8}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$/i,
      'A DOS label has 0x and 8 hexadecimal digits, GPT a UUID; leave the line out to have one made.',
    ],
  };
  const rule = wanted[name];
  if (rule !== undefined && !rule[0].test(value))
    throw layoutError(where, `${name} cannot be '${value}'`, rule[1]);
  return [name, name === 'label' ? value.toLowerCase() : value];
}

function readPartition(content: string, line: number, where: string): ScriptPartition {
  const body = content.replace(/^(\/\S+|\d+)\s*:\s*/, '');
  const found = new Map<string, string>();
  for (const part of splitFields(body)) {
    const match = /^([\w-]+)\s*(?:=\s*(.*))?$/s.exec(part);
    const field = match?.[1]?.toLowerCase() ?? '';
    if (match === null || (match[2] === undefined && field !== 'bootable')) {
      throw layoutError(
        where,
        `'${part}' is neither a header nor a field`,
        'Write fields as name=value with commas between, e.g. name=rootfs, size=430MiB, type=L',
      );
    }
    if (!fields.includes(field as (typeof fields)[number])) {
      throw layoutError(where, `a partition has no field '${match[1]}'`, knownNamesHint(field, fields));
    }
    if (found.has(field)) throw layoutError(where, `${field} is given twice`, 'Remove one of the two.');
    found.set(field, unquote(match[2] ?? ''));
  }
  const start = found.get('start');
  return {
    line,
    name: found.get('name'),
    type: found.get('type') ?? found.get('id'),
    start: start === undefined ? undefined : readSize(start, 'start', where),
    size: readLength(found.get('size'), where),
    bootable: found.has('bootable'),
    attributes: found.get('attrs'),
    uuid: found.get('uuid'),
  };
}

function splitFields(body: string): string[] {
  return (body.match(/(?:[^,"]|"[^"]*"?)+/g) ?? []).map((part) => part.trim()).filter((part) => part !== '');
}

const unquote = (value: string): string => value.trim().replace(/^"(.*)"$/s, '$1');

function readLength(value: string | undefined, where: string): number | 'rest' {
  if (value === undefined || value === '' || value === '+') return 'rest';
  const bytes = readSize(value, 'size', where);
  if (bytes === 0) throw layoutError(where, 'size is 0', 'Give the partition a size, e.g. size=64MiB.');
  return bytes;
}

function readSize(value: string, field: string, where: string): number {
  const match = /^(\d+)\s*([A-Za-z]*)$/.exec(value.trim());
  const unit = match?.[2] === '' ? sectorBytes : units[match?.[2]?.toUpperCase() ?? ''];
  if (match === null || unit === undefined) {
    throw layoutError(
      where,
      `${field} cannot be '${value}'`,
      `Give sectors or a unit: ${field}=81920, ${field}=40MiB, ${field}=1GiB.`,
    );
  }
  const bytes = Number(match[1]) * unit;
  if (bytes > 2 ** 44)
    throw layoutError(where, `${field} '${value}' is beyond 16 TiB`, `Give a smaller ${field}.`);
  return bytes;
}

/** `where` is `file` or `file:line`. */
export function layoutError(where: string, reason: string, hint: string): TreelineError {
  return new TreelineError('layout', `Cannot use layout ${where}: ${reason}`, { hint });
}
