import { TreelineError } from '../host/errors.ts';
import { isAccessible, pathExists, readBytesAt, readEntry } from '../host/files.ts';
import type { Disk, EmptyDisk } from './qemu.ts';

const units: Readonly<Record<string, number>> = { M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 };

/**
 * A file as a disk. The format is read from its first bytes: a raw image keeps being taken for raw, whatever a guest
 * writes into it later in the same run. Throws TreelineError 'usage' where there is no such file.
 */
export async function openImage(path: string, keep: boolean): Promise<Disk> {
  if (await pathExists(path)) return openFile(path, keep);
  throw new TreelineError('usage', `Cannot boot ${path}: there is no such file`, {
    hint: 'Build an image first: npm run build:vm',
  });
}

/**
 * What `--disk` names: a file, or the size of an empty disk that lasts as long as the machine runs.
 * Throws TreelineError 'usage' where it is neither.
 */
export async function openSecondDisk(wanted: string, keep: boolean): Promise<Disk> {
  if (await pathExists(wanted)) return openFile(wanted, keep);
  const empty = parseDiskSize(wanted);
  if (empty !== undefined) return empty;
  throw new TreelineError('usage', `Cannot add disk ${wanted}: there is no such file, and it is not a size`, {
    hint: 'A size is a number with M, G or T: --disk 1G. A disk that keeps its data: truncate -s 1G data.img, then --disk data.img --persist.',
  });
}

async function openFile(path: string, keep: boolean): Promise<Disk> {
  if ((await readEntry(path))?.kind === 'directory') {
    throw new TreelineError('usage', `Cannot use ${path} as a disk: it is a directory`, {
      hint: 'Name a disk image (.img or .qcow2).',
    });
  }
  if (!(await isAccessible(path, keep ? 'write' : 'read'))) {
    throw new TreelineError(
      'usage',
      `Cannot use ${path} as a disk: this user may not ${keep ? 'write' : 'read'} it`,
      {
        hint: 'Change its mode or owner (ls -l shows them), or run this as the user who made it.',
      },
    );
  }
  return { file: path, format: await readFormat(path), keep };
}

/** `512M`, `1.5G`, `2GiB`: in powers of 1024, rounded down to whole sectors; undefined where `text` is no size. */
export function parseDiskSize(text: string): EmptyDisk | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([MGT])(?:i?B)?$/i.exec(text.trim());
  if (match === null) return undefined;
  const bytes = Math.floor((Number(match[1]) * units[match[2]!.toUpperCase()]!) / 512) * 512;
  return bytes > 0 && Number.isSafeInteger(bytes) ? { bytes } : undefined;
}

/** QCOW2 begins with `QFI` and 0xfb (QEMU docs/interop/qcow2). */
async function readFormat(path: string): Promise<'raw' | 'qcow2'> {
  const magic = await readBytesAt(path, 0, 4);
  return magic.equals(Buffer.from([0x51, 0x46, 0x49, 0xfb])) ? 'qcow2' : 'raw';
}
