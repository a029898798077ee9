import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openImage, openSecondDisk, parseDiskSize } from '../../src/guest/disk.ts';
import { chooseSshPort } from '../../src/guest/port.ts';

let room: string;
beforeAll(async () => {
  room = await mkdtemp(join(tmpdir(), 'boot-unit-'));
  await mkdir(join(room, 'directory'));
  await writeFile(join(room, 'raw.img'), 'no magic');
  await writeFile(join(room, 'named-raw.img'), Buffer.from([0x51, 0x46, 0x49, 0xfb, 0, 0, 0, 3]));
  await writeFile(join(room, 'empty.img'), '');
});
afterAll(() => rm(room, { recursive: true }));

describe('an image', () => {
  it('has the format that its first bytes say, whatever its name', async () => {
    expect(await openImage(join(room, 'raw.img'), false)).toMatchObject({ format: 'raw', keep: false });
    expect(await openImage(join(room, 'named-raw.img'), true)).toMatchObject({ format: 'qcow2', keep: true });
    expect(await openImage(join(room, 'empty.img'), false)).toMatchObject({ format: 'raw' });
  });

  it('that does not exist is to be built first', async () => {
    await expect(openImage(join(room, 'none.img'), false)).rejects.toMatchObject({
      code: 'usage',
      message: `Cannot boot ${join(room, 'none.img')}: there is no such file`,
      hint: expect.stringContaining('npm run build:vm'),
    });
  });

  it('is no directory', async () => {
    await expect(openImage(join(room, 'directory'), false)).rejects.toMatchObject({
      message: expect.stringContaining('it is a directory'),
    });
  });
});

describe('a second disk', () => {
  it.each([
    ['512M', 512 * 1024 ** 2],
    ['1G', 1024 ** 3],
    ['1.5g', 1.5 * 1024 ** 3],
    ['2GiB', 2 * 1024 ** 3],
    ['1T', 1024 ** 4],
  ])('of %s is empty', (text, bytes) => {
    expect(parseDiskSize(text)).toEqual({ bytes });
  });

  it.each(['', 'G', '12', '-1G', '0M', '1K', '1e3M', '99999999999T', '1G 2G'])('of "%s" is none', (text) => {
    expect(parseDiskSize(text)).toBeUndefined();
  });

  it('is a file where there is one, and otherwise says what would do', async () => {
    expect(await openSecondDisk(join(room, 'raw.img'), true)).toMatchObject({ keep: true, format: 'raw' });
    await expect(openSecondDisk(join(room, 'none.img'), false)).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringContaining('it is not a size'),
      hint: expect.stringContaining('--disk 1G'),
    });
  });
});

describe('the port for ssh', () => {
  it('is the next free one where the first is taken', async () => {
    const first = await chooseSshPort(undefined);
    const holder = createServer().listen(first, '127.0.0.1');
    await new Promise((resolve) => holder.once('listening', resolve));
    expect(await chooseSshPort(undefined)).toBeGreaterThan(first);
    holder.close();
  });

  it('is an error where the one that was asked for is taken', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => holder.once('listening', resolve));
    const { port } = holder.address() as AddressInfo;
    await expect(chooseSshPort(port)).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringContaining(`port ${port}: it is in use`),
      hint: expect.stringContaining('--port'),
    });
    holder.close();
  });

  it.each([0, -1, 65_536, 1.5, Number.NaN])('is not %s', async (port) => {
    await expect(chooseSshPort(port)).rejects.toMatchObject({ code: 'usage' });
  });
});
