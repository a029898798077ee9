import { Refusal } from './refusal.ts';

/** One 512-byte header of a tar archive. Texts are bytes as latin1, so that two names differ where their bytes do. */
export interface TarHeader {
  path: string;
  linkPath: string;
  /** The type flag: `0` file, `1` hard link, `2` symlink, `5` directory, `x` PAX records, `L` GNU long name, … */
  flag: string;
  /** The permission bits, 0-07777. */
  mode: number;
  size: number;
  /** Whether `path` was put together from the ustar prefix. */
  hasPrefix: boolean;
}

/**
 * Reads a header (POSIX.1-1988 ustar, or GNU's without its extra fields), strictly: a field that apk, GNU tar and
 * libarchive read differently is refused (Refusal), so that what is checked is what gets installed.
 */
export function readHeader(block: Buffer): TarHeader {
  if (checksumOf(block) !== readChecksum(block)) {
    throw new Refusal('a header in its archive has a wrong checksum');
  }
  if (block[0] === 0) throw new Refusal('an entry in its archive has an empty name');
  const flag = block.toString('latin1', 156, 157);
  const magic = block.toString('latin1', 257, 265);
  if (magic !== 'ustar\x0000' && magic !== 'ustar  \0') {
    throw new Refusal('a header in its archive is not of the ustar format');
  }
  const prefix = text(block, 345, 155);
  const name = text(block, 0, 100);
  if (prefix !== '' && magic !== 'ustar\x0000') {
    // apk takes these bytes for a prefix in any format; in GNU's they are times.
    throw new Refusal(`${printable(name)} has a header of GNU's incremental format`);
  }
  return {
    path: prefix === '' ? name : `${prefix}/${name}`,
    linkPath: linkPath(block, flag),
    flag,
    mode: octal(block, 100, 8) & 0o7777,
    size: octal(block, 124, 12),
    hasPrefix: prefix !== '',
  };
}

/** The text as users should see it: decoded, with control characters escaped. */
export const printable = (latin1: string): string => JSON.stringify(Buffer.from(latin1, 'latin1').toString());

/** abuild-tar keeps a file's SHA-1 in this field, behind NULs (`APK2`): only links have a name there. */
function linkPath(block: Buffer, flag: string): string {
  const isEmpty = block[157] === 0;
  return isEmpty && flag === '0' ? '' : text(block, 157, 100);
}

/** A text field ends at its first NUL; bytes behind it would be a second name that another reader might use. */
function text(block: Buffer, start: number, length: number): string {
  const field = block.toString('latin1', start, start + length);
  const end = field.indexOf('\0');
  if (end === -1) return field;
  if (/[^\0]/.test(field.slice(end))) {
    throw new Refusal(`${printable(field.slice(0, end))} in its archive has a NUL inside the name`);
  }
  return field.slice(0, end);
}

/** Octal digits that begin the field: apk reads leading blanks and binary numbers as 0. */
function octal(block: Buffer, start: number, length: number): number {
  const field = block.toString('latin1', start, start + length);
  if (!/^[0-7]+[\0 ]*$/.test(field)) {
    throw new Refusal(`${printable(text(block, 0, 100))} in its archive has a header with a bad number`);
  }
  return Number.parseInt(field, 8);
}

function readChecksum(block: Buffer): number {
  const field = block.toString('latin1', 148, 156);
  return /^ *[0-7]+[\0 ]*$/.test(field) ? Number.parseInt(field, 8) : -1;
}

/** The sum of all bytes, those of the checksum taken as blanks. */
function checksumOf(block: Buffer): number {
  let sum = 8 * 0x20;
  for (let index = 0; index < block.length; index += 1) {
    if (index < 148 || index >= 156) sum += block[index] ?? 0;
  }
  return sum;
}
