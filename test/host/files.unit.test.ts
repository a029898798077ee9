import {
  chmodSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  copyIntoFile,
  createSparseFile,
  fileBytesOnDisk,
  fileSha256,
  fileSize,
  listNames,
  listTree,
  pathExists,
  readBytesAt,
  readTextIfExists,
  remove,
  sha256,
  writeBytesAt,
  writeFile,
  writeFileAtomically,
} from '../../src/host/files.ts';
import { temporaryDirectory } from '../helpers/host.ts';

describe('writing', () => {
  it('makes the directory, and gives exactly the asked-for mode whatever the umask', async () => {
    const path = join(temporaryDirectory(), 'a/b/secret');
    await writeFile(path, 'x', 0o666);
    expect(statSync(path).mode & 0o7777).toBe(0o666);
    await writeFile(path, 'y', 0o600);
    expect(statSync(path).mode & 0o7777).toBe(0o600);
  });

  it('replaces a file by rename: who has the old one open reads the old one', async () => {
    const directory = temporaryDirectory();
    const path = join(directory, 'index.json');
    await writeFileAtomically(path, 'old');
    const before = statSync(path).ino;
    await writeFileAtomically(path, 'new', 0o640);
    expect(readFileSync(path, 'utf8')).toBe('new');
    expect(statSync(path).ino).not.toBe(before);
    expect(statSync(path).mode & 0o777).toBe(0o640);
    expect(readdirSync(directory)).toEqual(['index.json']);
  });

  it('leaves what was there where the new content cannot take its place', async () => {
    const directory = temporaryDirectory();
    mkdirSync(join(directory, 'taken/inside'), { recursive: true });
    await expect(writeFileAtomically(join(directory, 'taken'), 'x')).rejects.toThrow(/EISDIR|ENOTEMPTY/);
    expect(readdirSync(join(directory, 'taken'))).toEqual(['inside']);
  });

  it('removes files, trees, and nothing at all, but not what a link leads to', async () => {
    const directory = temporaryDirectory();
    mkdirSync(join(directory, 'kept'));
    writeFileSync(join(directory, 'kept/file'), '');
    mkdirSync(join(directory, 'tree'));
    symlinkSync('../kept', join(directory, 'tree/link'));
    await remove(join(directory, 'tree'));
    await remove(join(directory, 'tree'));
    expect(readdirSync(directory)).toEqual(['kept']);
    expect(readdirSync(join(directory, 'kept'))).toEqual(['file']);
  });
});

describe('reading', () => {
  it('gives bytes from the middle, and fewer where the file ends before', async () => {
    const path = join(temporaryDirectory(), 'file');
    writeFileSync(path, '0123456789');
    expect((await readBytesAt(path, 3, 4)).toString()).toBe('3456');
    expect((await readBytesAt(path, 8, 4)).toString()).toBe('89');
    expect(await readBytesAt(path, 20, 4)).toHaveLength(0);
  });

  it('takes a missing file for undefined, and a missing directory for an empty one', async () => {
    const directory = temporaryDirectory();
    expect(await readTextIfExists(join(directory, 'no'))).toBeUndefined();
    expect(await listNames(join(directory, 'no'))).toEqual([]);
  });

  it('takes a link that leads nowhere for something that exists', async () => {
    const path = join(temporaryDirectory(), 'link');
    symlinkSync('/nonexistent', path);
    expect(await pathExists(path)).toBe(true);
  });

  it('hashes text and files alike', async () => {
    const path = join(temporaryDirectory(), 'file');
    writeFileSync(path, 'abc');
    const known = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';
    expect(sha256('abc')).toBe(known);
    expect(await fileSha256(path)).toBe(known);
  });
});

describe('listing a tree', () => {
  it('gives parents before children and siblings by code unit, links unfollowed', async () => {
    const root = temporaryDirectory();
    for (const path of ['b', 'a/x', 'a-b', 'Z', 'ä']) mkdirSync(join(root, path), { recursive: true });
    writeFileSync(join(root, 'a/x/file'), '12345');
    chmodSync(join(root, 'a/x/file'), 0o4755);
    symlinkSync('/etc', join(root, 'b/link'));
    const entries = await listTree(root);
    expect(entries.map((entry) => entry.path)).toEqual([
      'Z',
      'a',
      'a/x',
      'a/x/file',
      'a-b',
      'b',
      'b/link',
      'ä',
    ]);
    expect(entries.find((entry) => entry.path === 'a/x/file')).toEqual({
      path: 'a/x/file',
      kind: 'file',
      mode: 0o4755,
      size: 5,
    });
    expect(entries.find((entry) => entry.path === 'b/link')).toMatchObject({ kind: 'symlink', link: '/etc' });
  });
});

describe('images', () => {
  it('keeps the holes of what is copied into a file, and nothing else of the target changes', async () => {
    const directory = temporaryDirectory();
    const [source, target] = [join(directory, 'source'), join(directory, 'target')];
    const block = 65_536;
    writeFileSync(source, Buffer.alloc(block, 1));
    truncateSync(source, 40 * block);
    await writeBytesAt(source, 30 * block + 5, Buffer.from('needle'));
    await createSparseFile(target, 100 * block);
    await writeBytesAt(target, 0, Buffer.from('head'));
    await writeBytesAt(target, 99 * block, Buffer.from('tail'));
    await copyIntoFile(source, target, 50 * block);
    const bytes = readFileSync(target);
    expect(bytes).toHaveLength(100 * block);
    expect(bytes.subarray(50 * block, 90 * block).equals(readFileSync(source))).toBe(true);
    expect(bytes.subarray(0, 4).toString() + bytes.subarray(99 * block, 99 * block + 4).toString()).toBe(
      'headtail',
    );
    expect(await fileBytesOnDisk(target)).toBeLessThanOrEqual(6 * block);
  });

  it('copies a last block that is not full', async () => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, 'source'), Buffer.alloc(65_537, 7));
    await createSparseFile(join(directory, 'target'), 70_000);
    await copyIntoFile(join(directory, 'source'), join(directory, 'target'), 1);
    const bytes = readFileSync(join(directory, 'target'));
    expect([bytes[0], bytes[1], bytes[65_537], bytes[65_538]]).toEqual([0, 7, 7, 0]);
    expect(await fileSize(join(directory, 'target'))).toBe(70_000);
  });
});
