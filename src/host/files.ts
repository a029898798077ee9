import { createHash } from 'node:crypto';
import type { Stats } from 'node:fs';
import { existsSync, lstatSync, readdirSync, readlinkSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { mkdir, mkdtemp, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import fs from 'fs-extra';

/** A file system entry, its kind and mode as lstat(2) gives them. */
export interface Entry {
  /** Relative to the directory that was listed; no leading slash. */
  path: string;
  kind: 'file' | 'directory' | 'symlink' | 'other';
  /** Permission bits, 0 to 0o7777. */
  mode: number;
  /** Bytes; 0 for all but files. */
  size: number;
  /** A symlink's text. */
  link?: string;
}

export const pathExists = (path: string): Promise<boolean> =>
  fs.lstat(path).then(
    () => true,
    () => false,
  );

export const readText = (path: string): Promise<string> => fs.readFile(path, 'utf8');
export const readBytes = (path: string): Promise<Buffer> => fs.readFile(path);

/** The text of `path`, or undefined where there is no such file. */
export async function readTextIfExists(path: string): Promise<string | undefined> {
  return (await pathExists(path)) ? readText(path) : undefined;
}

/** Bytes `offset` to `offset + length` of a file; fewer where it ends before. */
export async function readBytesAt(path: string, offset: number, length: number): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** Overwrites part of an existing file in place. */
export async function writeBytesAt(path: string, offset: number, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await writeWhole(file, bytes, offset);
  } finally {
    await file.close();
  }
}

/** A new sparse file of `bytes` zero bytes. */
export async function createSparseFile(path: string, bytes: number): Promise<void> {
  const file = await open(path, 'w');
  try {
    await file.truncate(bytes);
  } finally {
    await file.close();
  }
}

/** Copies a file into another one at an offset, leaving holes where the source is zero. */
export async function copyIntoFile(source: string, target: string, offset: number): Promise<void> {
  const block = 1 << 16;
  const zeros = Buffer.alloc(block);
  const [from, to] = [await open(source, 'r'), await open(target, 'r+')];
  try {
    const buffer = Buffer.alloc(block);
    for (let position = 0; ;) {
      const { bytesRead } = await from.read(buffer, 0, block, position);
      if (bytesRead === 0) return;
      const part = buffer.subarray(0, bytesRead);
      if (!part.equals(zeros.subarray(0, bytesRead))) await writeWhole(to, part, offset + position);
      position += bytesRead;
    }
  } finally {
    await Promise.all([from.close(), to.close()]);
  }
}

/** write(2) may take a part only, as when the disk becomes full; the next call then says why. */
async function writeWhole(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
}

/** Writes a whole file, making its directory. For files nobody reads before the build is done. */
export async function writeFile(path: string, content: string | Uint8Array, mode = 0o644): Promise<void> {
  await makeDirectory(dirname(path));
  await fs.writeFile(path, content, { mode });
  await fs.chmod(path, mode);
}

/** Writes beside the target and renames: readers see the old or the new content, never a part. */
export async function writeFileAtomically(
  path: string,
  content: string | Uint8Array,
  mode = 0o644,
): Promise<void> {
  // A number of its own for each: two parts of a command may write the same file at the same moment.
  const beside = join(dirname(path), `.${basename(path)}.${process.pid}.${(writes += 1)}`);
  try {
    await writeFile(beside, content, mode);
    await rename(beside, path);
  } catch (error) {
    await rm(beside, { force: true }).catch(() => {});
    throw error;
  }
}

let writes = 0;

/** Makes a directory and those above it. (Node's own `recursive` never ends below /proc and its like.) */
export async function makeDirectory(path: string): Promise<void> {
  const made = await mkdir(path).catch((error: NodeJS.ErrnoException) => error);
  if (!(made instanceof Error) || (made.code === 'EEXIST' && (await fs.stat(path)).isDirectory())) return;
  if (made.code !== 'ENOENT') throw made;
  await makeDirectory(dirname(path));
  await mkdir(path).catch(async (error: NodeJS.ErrnoException) => {
    // Somebody else was quicker.
    if (error.code !== 'EEXIST') throw error;
  });
}
/** Removes a file or a whole directory; nothing happens where there is none. `retry`: see rm of node:fs. */
export const remove = (
  path: string,
  retry: { maxRetries?: number; retryDelay?: number } = {},
): Promise<void> => rm(path, { recursive: true, force: true, ...retry });
export const move = (from: string, to: string): Promise<void> => rename(from, to);
export const makeLink = (target: string, path: string): Promise<void> => fs.symlink(target, path);
export const makeHardLink = (existing: string, path: string): Promise<void> => fs.link(existing, path);
export const changeMode = (path: string, mode: number): Promise<void> => fs.chmod(path, mode);
export const setTimes = (path: string, seconds: number): Promise<void> => fs.utimes(path, seconds, seconds);
/** Gives a file of the cache the time of now: `npm run clean` goes by the last use. */
export const markUsed = (path: string): Promise<void> => setTimes(path, Math.floor(Date.now() / 1000));
/** Copies a file or a directory tree, modes and links kept. */
export const copy = (from: string, to: string): Promise<void> =>
  fs.copy(from, to, { preserveTimestamps: true });

/** Names in a directory, sorted by code unit; an empty list where there is no such directory. */
export async function listNames(path: string): Promise<string[]> {
  return (await pathExists(path)) ? (await fs.readdir(path)).toSorted() : [];
}

/** What `path` is, or undefined where it does not exist. Symlinks are not followed. */
export async function readEntry(path: string): Promise<Entry | undefined> {
  const stat = await fs.lstat(path).catch(() => undefined);
  if (stat === undefined) return undefined;
  const entry = entryOf(path, stat);
  return entry.kind === 'symlink' ? { ...entry, link: await fs.readlink(path) } : entry;
}

function entryOf(path: string, stat: Stats): Entry {
  const kind = stat.isFile()
    ? 'file'
    : stat.isDirectory()
      ? 'directory'
      : stat.isSymbolicLink()
        ? 'symlink'
        : 'other';
  return { path, kind, mode: stat.mode & 0o7777, size: kind === 'file' ? stat.size : 0 };
}

/**
 * Everything below a directory, parents before children, siblings sorted by code unit. Synchronous inside: there may be
 * thousands of entries, and a promise costs ten times the system call.
 */
export async function listTree(root: string): Promise<Entry[]> {
  const found: Entry[] = [];
  const visit = (below: string): void => {
    for (const name of readdirSync(join(root, below)).toSorted()) {
      const path = below === '' ? name : `${below}/${name}`;
      const place = join(root, path);
      const entry = entryOf(path, lstatSync(place));
      found.push(entry.kind === 'symlink' ? { ...entry, link: readlinkSync(place) } : entry);
      if (entry.kind === 'directory') visit(path);
    }
  };
  if (existsSync(root)) visit('');
  return found;
}

export const fileSize = async (path: string): Promise<number> => (await fs.stat(path)).size;
/** Bytes that a file occupies on disk: less than its size where it has holes. */
export const fileBytesOnDisk = async (path: string): Promise<number> => (await fs.stat(path)).blocks * 512;

/** SHA-256 of a file, in lower-case hexadecimal. */
export async function fileSha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  const file = await open(path, 'r');
  try {
    // Two buffers by turns: one is read into while the other is hashed.
    let [filling, full] = [Buffer.allocUnsafe(hashedAtOnce), Buffer.allocUnsafe(hashedAtOnce)];
    let position = 0;
    let reading = file.read(filling, 0, hashedAtOnce, position);
    for (;;) {
      const { bytesRead } = await reading;
      if (bytesRead === 0) return hash.digest('hex');
      [filling, full] = [full, filling];
      position += bytesRead;
      reading = file.read(filling, 0, hashedAtOnce, position);
      hash.update(full.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}

/** Bytes; small enough to stay in a processor's cache. */
const hashedAtOnce = 1 << 19;

/** SHA-256 of text or bytes, in lower-case hexadecimal. */
export const sha256 = (content: string | Uint8Array): string =>
  createHash('sha256').update(content).digest('hex');

/** A fresh directory for unfinished work below `parent`. */
export async function temporaryDirectory(parent: string, purpose: string): Promise<string> {
  await makeDirectory(parent);
  return mkdtemp(join(parent, `${purpose}-`));
}

/** The absolute path with every symlink followed. Throws where something on the way does not exist. */
export const realPath = (path: string): Promise<string> => fs.realpath(path);

/** Whether this user may open an existing file to read or to write it. */
export const isAccessible = (path: string, how: 'read' | 'write'): Promise<boolean> =>
  fs.access(path, how === 'read' ? fs.constants.R_OK : fs.constants.W_OK).then(
    () => true,
    () => false,
  );

/**
 * A file or a directory with all below it: bytes that would be free without it (a file with several names counts as none),
 * and when anything of it was last written, in seconds since 1970.
 */
export async function measure(path: string): Promise<{ bytes: number; written: number }> {
  const stat = await fs.lstat(path).catch(() => undefined);
  if (stat === undefined) return { bytes: 0, written: 0 };
  const shared = !stat.isDirectory() && stat.nlink > 1;
  const own = { bytes: shared ? 0 : stat.blocks * 512, written: stat.mtimeMs / 1000 };
  if (!stat.isDirectory()) return own;
  const names = await listNames(path);
  return (await Promise.all(names.map((name) => measure(join(path, name))))).reduce(
    (sum, part) => ({ bytes: sum.bytes + part.bytes, written: Math.max(sum.written, part.written) }),
    own,
  );
}
