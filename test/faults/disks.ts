import { mkdir } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { execa } from 'execa';

/** Makes a QCOW2 disk that takes the writes, over one that stays as it is (QCOW2, or raw where its name ends in .img). */
export async function diskOver(base: string, disk: string): Promise<void> {
  const format = base.endsWith('.img') ? 'raw' : 'qcow2';
  await execa('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', format, '-b', resolve(base), disk]);
}

/** All of a disk as a raw file, with holes. */
export async function rawDisk(disk: string, raw: string): Promise<void> {
  await execa('qemu-img', ['convert', '-O', 'raw', disk, raw]);
}

/** The one disk (QCOW2) that belongs to a directory. */
export const diskIn = (directory: string): string => join(directory, 'disk.qcow2');

/** Puts a disk that shows a failure, whole, into a directory where it stays; says where. Nothing is kept without one. */
export async function keepDisk(disk: string, directory: string | undefined): Promise<string[]> {
  if (directory === undefined) return [];
  await mkdir(directory, { recursive: true });
  const kept = join(directory, `${basename(disk).replace(/\.\w+$/, '')}.qcow2`);
  await execa('qemu-img', ['convert', '-c', '-O', 'qcow2', disk, kept]);
  return [`the disk: ${kept}`];
}
