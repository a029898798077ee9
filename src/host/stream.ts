import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open, readdir, readlink, realpath, stat } from 'node:fs/promises';
import { basename, join, relative, sep } from 'node:path';
import type { Readable } from 'node:stream';

/** A regular file that is open for reading, with what it was at that moment. */
export interface OpenFile {
  kind: 'file';
  size: number;
  /** Milliseconds since 1970: when the file's content or name last changed on this machine, whatever its mtime claims. */
  changed: number;
  /** Differs whenever the content does; letters, digits and dashes. */
  version: string;
  /** Bytes `start` up to and without `end`; closes the file when it ends or is destroyed. May be called once. */
  read(start: number, end: number): Readable;
  /** For when `read` is not called. */
  close(): Promise<void>;
}

export interface OpenDirectory {
  kind: 'directory';
  /** What may be opened, sorted by code unit; names of directories end in a slash. Sizes in bytes, of files. */
  entries: readonly { name: string; size: number | undefined }[];
}

/**
 * Opens what lies at `path` (relative, no `..`) below a directory, or resolves to undefined where there is nothing to
 * show: no such file, a device or pipe, a hidden name (one that begins with a dot), or a symlink that leads outside
 * the directory or to a hidden name. Where a file really lies is asked after it was opened, so that nobody can
 * exchange a directory for a link in between.
 */
export async function openBelow(
  directory: string,
  path: string,
): Promise<OpenFile | OpenDirectory | undefined> {
  // A pipe must not be waited for.
  const handle = await open(join(directory, path), constants.O_RDONLY | constants.O_NONBLOCK).catch(
    ignoreMissing,
  );
  if (handle === undefined) return undefined;
  try {
    const real = await readlink(`/proc/self/fd/${handle.fd}`);
    const stats = await handle.stat({ bigint: true });
    const top = await realpath(directory);
    const visible = isVisibleBelow(top, real);
    if (visible && stats.isFile()) {
      return {
        kind: 'file',
        size: Number(stats.size),
        changed: Number(stats.mtimeNs > stats.ctimeNs ? stats.mtimeMs : stats.ctimeMs),
        version: [stats.ino, stats.size, stats.ctimeNs].map((part) => part.toString(36)).join('-'),
        read: (start, end) => readRange(handle, start, end),
        close: () => handle.close(),
      };
    }
    await handle.close();
    return visible && stats.isDirectory()
      ? { kind: 'directory', entries: await listVisible(top, real) }
      : undefined;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  const codes = ['ENOENT', 'ENOTDIR', 'EACCES', 'ELOOP', 'ENAMETOOLONG', 'ENXIO', 'EPERM'];
  if (!codes.includes(error.code ?? '')) throw error;
}

function isVisibleBelow(directory: string, real: string): boolean {
  const below = relative(directory, real);
  return below === '' || below.split(sep).every((name) => !name.startsWith('.'));
}

function readRange(handle: FileHandle, start: number, end: number): Readable {
  return handle.createReadStream({ start, end: end - 1, highWaterMark: 1 << 18 });
}

async function listVisible(top: string, directory: string): Promise<OpenDirectory['entries']> {
  const names = (await readdir(directory)).toSorted();
  const entries = await Promise.all(names.map((name) => describeVisible(top, join(directory, name))));
  return entries.filter((entry) => entry !== undefined);
}

async function describeVisible(
  top: string,
  path: string,
): Promise<OpenDirectory['entries'][number] | undefined> {
  const name = basename(path);
  const real = await realpath(path).catch(() => undefined);
  if (real === undefined || name.startsWith('.') || !isVisibleBelow(top, real)) return undefined;
  const stats = await stat(real).catch(() => undefined);
  if (stats?.isDirectory()) return { name: `${name}/`, size: undefined };
  return stats?.isFile() ? { name, size: stats.size } : undefined;
}
