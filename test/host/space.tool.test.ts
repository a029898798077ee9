import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { copyIntoFile, createSparseFile, writeBytesAt } from '../../src/host/files.ts';
import { errorOf, temporaryDirectory, temporaryHost } from '../helpers/host.ts';

/** A disk of so many bytes; the kernel gives room by pages of 4096. */
function smallDisk(bytes: number): string {
  const directory = temporaryDirectory();
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'small', directory]);
  onTestFinished(() => void execFileSync('umount', [directory]));
  return directory;
}

it('says that the disk is full where a program met its end', async () => {
  const disk = smallDisk(65_536);
  const error = await errorOf(
    temporaryHost().run({
      program: 'dd',
      args: ['if=/dev/zero', `of=${disk}/file`, 'bs=4096', 'count=100'],
      doing: 'write the image',
    }),
  );
  expect(error.code).toBe('host');
  expect(error.message).toBe('Cannot write the image: no space left on the disk');
  expect(error.hint).toContain('Free some space');
  expect(error.output).toContain('No space left on device');
});

it('says that the disk is full where a program’s output goes into a file', async () => {
  const disk = smallDisk(65_536);
  const error = await errorOf(
    temporaryHost().run({
      program: 'head',
      args: ['-c', '1000000', '/dev/zero'],
      outputFile: join(disk, 'file'),
      doing: 'pack the initramfs',
    }),
  );
  expect(error.code).toBe('host');
  expect(error.message).toBe('Cannot pack the initramfs: no space left on the disk');
});

it('does not lose the end of a copy that the disk has only half the room for', async () => {
  const disk = smallDisk(65_536);
  const source = join(temporaryDirectory(), 'source');
  writeFileSync(source, Buffer.alloc(65_536, 1));
  writeFileSync(join(disk, 'ballast'), Buffer.alloc(32_768, 1));
  await createSparseFile(join(disk, 'copy'), 65_536);
  await expect(copyIntoFile(source, join(disk, 'copy'), 0)).rejects.toThrow(/ENOSPC|no space/i);
});

it('does not lose the end of bytes that the disk has only half the room for', async () => {
  const disk = smallDisk(65_536);
  await createSparseFile(join(disk, 'file'), 131_072);
  await expect(writeBytesAt(join(disk, 'file'), 0, Buffer.alloc(131_072, 1))).rejects.toThrow(
    /ENOSPC|no space/i,
  );
});
