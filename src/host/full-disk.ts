import { statfsSync } from 'node:fs';
import { TreelineError } from './errors.ts';
import { asTreelineError } from './system-error.ts';

/** How ostree, apt and everybody else say it. */
const noSpace = /no space left on|enough free space|min-free-space|disk quota/i;
/** Less than this share of a disk, or than these bytes, is what a failed write leaves. */
const fullShare = 0.05;
const fullBytes = 64 << 20;

/**
 * Adds to an error that tells of a full disk which of the directories lie on one, and says what to do. Other errors are
 * returned as they are. Call it before unfinished work is removed.
 */
export function namingFullDisk(cause: unknown, directories: readonly string[]): unknown {
  const error = asTreelineError(cause);
  if (!(error instanceof TreelineError) || !noSpace.test(`${error.message}\n${error.output ?? ''}`))
    return error;
  const full = directories.flatMap((directory) => {
    const { bavail, blocks, bsize } = statfsSync(directory);
    const [free, size] = [bavail * bsize, blocks * bsize];
    if (free > Math.max(size * fullShare, fullBytes)) return [];
    return [`the disk of ${directory} has ${mebibytes(free)} of ${mebibytes(size)} MiB left`];
  });
  const where = [...new Set(full)].join(', ');
  const message = error.message.replace(/: (no space left on the disk|\S+ failed \(.*\))$/, '');
  return new TreelineError(
    'host',
    `${message}: no space left on the disk${where === '' ? '' : ` (${where})`}`,
    {
      hint: 'Free some space there, or name a directory on a larger disk (--workspace DIR, --output DIR); then run the same command again.',
      output: error.output,
      cause,
    },
  );
}

const mebibytes = (bytes: number): number => Math.floor(bytes / (1 << 20));
