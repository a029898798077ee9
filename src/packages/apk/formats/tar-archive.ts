import { readPaxRecords } from './pax-records.ts';
import { Refusal } from './refusal.ts';
import type { TarHeader } from './tar-header.ts';
import { printable, readHeader } from './tar-header.ts';

export type TarEntryType = 'file' | 'hard link' | 'symlink' | 'directory' | 'device node' | 'fifo';

/** Texts are bytes as latin1 (see TarHeader). Nothing in them is repaired: a leading `/`, `..` or `//` is still there. */
export interface TarEntry {
  path: string;
  type: TarEntryType;
  /** What a link names; empty for the others. */
  linkPath: string;
  /** The permission bits, 0-07777. */
  mode: number;
  content: Buffer;
  /** The names of its extended attributes. */
  attributes: readonly string[];
}

/** The longest name in a header, and with it a limit for what is read as a name (Linux's PATH_MAX). */
export const longestPath = 4096;
/** The longest extended header: a name, a link, some attributes. */
const longestExtension = 1 << 20;

const types: Readonly<Record<string, TarEntryType>> = {
  '0': 'file',
  '1': 'hard link',
  '2': 'symlink',
  '3': 'device node',
  '4': 'device node',
  '5': 'directory',
  '6': 'fifo',
};

/**
 * The entries of a tar archive: ustar, with PAX headers and GNU long names, read as apk-tools 2.14 reads it
 * (apk_tar_parse) and refused (Refusal) where another reader would see something else: node-tar, for one, strips and
 * skips what it does not like, apk ignores long link names and PAX sizes, and takes a file with a `linkpath` for a hard
 * link. Archives without an end marker pass only with `end: 'optional'`: apk wants signature and control so.
 */
export function* readTar(archive: Buffer, { end }: { end: 'required' | 'optional' }): Generator<TarEntry> {
  let extension: Extension = {};
  for (let at = 0; ;) {
    if (at === archive.length) {
      if (end === 'required' || isUsed(extension)) throw new Refusal('its archive is cut off');
      return;
    }
    if (at + blockBytes > archive.length) throw new Refusal('its archive is cut off');
    const block = archive.subarray(at, at + blockBytes);
    if (isZero(block)) {
      if (isUsed(extension)) throw new Refusal('its archive is cut off');
      expectEnd(archive.subarray(at));
      return;
    }
    const header = readHeader(block);
    const [start, stop] = [at + blockBytes, at + blockBytes + header.size];
    at = start + Math.ceil(header.size / blockBytes) * blockBytes;
    if (at > archive.length) throw new Refusal('its archive is cut off');
    const content = archive.subarray(start, stop);

    if (header.flag === 'g') expectHarmless(content);
    else if (header.flag === 'x' || header.flag === 'L')
      extension = readExtension(header, content, extension);
    else {
      yield makeEntry(header, content, extension);
      extension = {};
    }
  }
}

const blockBytes = 512;
const zeroBlock = Buffer.alloc(blockBytes);
const isZero = (block: Buffer): boolean => block.equals(zeroBlock);

/** What the headers before an entry say about it. */
interface Extension {
  records?: Map<string, string>;
  longName?: string;
}

const isUsed = ({ records, longName }: Extension): boolean => records !== undefined || longName !== undefined;

function readExtension(header: TarHeader, content: Buffer, before: Extension): Extension {
  // Readers differ in which of several headers wins.
  if (isUsed(before)) throw new Refusal('an entry in its archive has more than one extended header');
  if (content.length > longestExtension) throw new Refusal('an extended header in its archive is too long');
  if (header.flag === 'x') return { records: readPaxRecords(content) };
  const name = content.toString('latin1').replace(/\0+$/, '');
  if (name.includes('\0'))
    throw new Refusal(`the long name ${printable(name)} in its archive has a NUL inside`);
  return { longName: name };
}

/** A PAX header for all entries after it, which apk does not read: only a comment changes nothing. */
function expectHarmless(content: Buffer): void {
  const other = [...readPaxRecords(content).keys()].find((key) => key !== 'comment');
  if (other !== undefined)
    throw new Refusal(`a global header in its archive states ${JSON.stringify(other)}`);
}

function makeEntry(header: TarHeader, content: Buffer, { records, longName }: Extension): TarEntry {
  // With both, apk takes the short name and others the long one.
  if (longName !== undefined && header.hasPrefix) {
    throw new Refusal(`${printable(longName)} in its archive has two names`);
  }
  const path = records?.get('path') ?? longName ?? header.path;
  const refuse = (reason: string): never => {
    throw new Refusal(`${printable(path)} in its archive ${reason}`);
  };
  if (path.length > longestPath) {
    throw new Refusal(`${printable(path.slice(0, 60))}… in its archive has a name of ${path.length} bytes`);
  }
  if (header.flag === 'K') refuse('has a GNU long link name, which apk does not read');
  const type = types[header.flag] ?? refuse(`has the unknown type ${printable(header.flag)}`);
  const isLink = type === 'hard link' || type === 'symlink';
  const linkPath = records?.get('linkpath') ?? header.linkPath;
  if (!isLink && linkPath !== '') refuse(`is a ${type}, but names a link target`);
  if (linkPath.length > longestPath) refuse(`has a link target of ${linkPath.length} bytes`);
  if (type !== 'file' && header.size !== 0) refuse(`is a ${type}, but has content`);
  for (const key of records?.keys() ?? []) {
    if (key.startsWith('GNU.sparse.')) refuse('is stored as a sparse file');
    if (key === 'size' && Number(records?.get(key)) !== header.size) refuse('states two sizes');
  }
  const attributes = [...(records?.keys() ?? [])]
    .filter((key) => key.startsWith('SCHILY.xattr.'))
    .map((key) => key.slice('SCHILY.xattr.'.length));
  return { path, type, linkPath, mode: header.mode, content, attributes };
}

/** From the first block of zeros on, nothing but zeros, and at least two blocks. */
function expectEnd(rest: Buffer): void {
  if (rest.length < 2 * blockBytes) throw new Refusal('its archive is cut off');
  for (let at = 0; at < rest.length; at += blockBytes) {
    const block = rest.subarray(at, at + blockBytes);
    if (!block.equals(zeroBlock.subarray(0, block.length))) {
      throw new Refusal('its archive goes on behind its end marker');
    }
  }
}
