import { readBytesAt } from './files.ts';

/** Whether a file is a 64-bit ELF program that needs no loader: no program header PT_INTERP (elf(5)). */
export async function isStaticProgram(path: string): Promise<boolean> {
  const header = await readBytesAt(path, 0, 64);
  const isElf64 = header.length === 64 && header.readUInt32BE(0) === 0x7f454c46 && header[4] === 2;
  if (!isElf64) return false;
  const [size, count] = [header.readUInt16LE(54), header.readUInt16LE(56)];
  if (size < 56) return false;
  const table = await readBytesAt(path, Number(header.readBigUInt64LE(32)), size * count);
  const types = Array.from({ length: Math.floor(table.length / size) }, (_, index) =>
    table.readUInt32LE(index * size),
  );
  return types.length > 0 && !types.includes(3);
}
