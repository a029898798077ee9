import { writeFile } from 'node:fs/promises';

/** What the tiny image writes to the serial line. */
export const greeting = 'hello from the boot sector\r\n';

const loadAddress = 0x7c00;

/**
 * A disk whose boot sector writes the greeting to the serial line, copies itself to the next sector, and then powers
 * the machine off, or waits for ever.
 */
export async function writeTinyImage(path: string, then: 'power off' | 'wait'): Promise<void> {
  const code = [
    ...[0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0xfc], // ds = es = 0, forwards
    0x52, // push dx: the disk we came from
    ...[0xbe, 0x80, 0x7c], // mov si, greeting
    ...[0xba, 0xf8, 0x03], // mov dx, first serial port
    ...[0xac, 0x84, 0xc0, 0x74, 0x03, 0xee, 0xeb, 0xf8], // each byte up to a zero: out dx, al
    0x5a, // pop dx
    ...[0xb8, 0x01, 0x03, 0xb9, 0x02, 0x00, 0xb6, 0x00], // write one sector, the second of the disk
    ...[0xbb, 0x00, loadAddress >> 8, 0xcd, 0x13], // from where we are: int 0x13
    ...(then === 'power off' ? [0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef] : []), // out 0x604, 0x2000: q35's ACPI
    ...[0xf4, 0xeb, 0xfd], // hlt, again and again
  ];
  const disk = Buffer.alloc(1 << 20);
  Buffer.from(code).copy(disk, 0);
  disk.write(`${greeting}\0`, 0x80, 'latin1');
  Buffer.from([0x55, 0xaa]).copy(disk, 510);
  await writeFile(path, disk);
}
