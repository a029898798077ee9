import { chmodSync, mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Rules } from '../../src/reproduce/compare.ts';
import { compareDirectories } from '../../src/reproduce/compare.ts';
import { temporaryDirectory } from '../helpers/host.ts';

const everything: Rules = { skip: () => false, nameOnly: () => false, modes: true };

/** Two directories with the same files, and a way to change one of them. */
function twins(files: Readonly<Record<string, string | Buffer>>) {
  const [here, elsewhere] = [temporaryDirectory(), temporaryDirectory()];
  for (const directory of [here, elsewhere]) {
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(dirname(join(directory, path)), { recursive: true });
      writeFileSync(join(directory, path), content);
    }
  }
  return {
    here,
    elsewhere,
    compare: (rules = everything) => compareDirectories(here, elsewhere, rules),
  };
}

const mebibyte = 1 << 20;

describe('the comparison of two outputs', () => {
  it('finds nothing where all is the same, and says how much it looked at', async () => {
    const { compare } = twins({ 'a/manifest.json': '{}', 'b.img': Buffer.alloc(3 * mebibyte) });
    expect(await compare()).toEqual({ differences: [], files: 2, bytes: 2 + 3 * mebibyte });
  });

  it.each([0, 4095, mebibyte - 1, mebibyte, 3 * mebibyte - 1])(
    'finds one other bit at %i',
    async (offset) => {
      const image = Buffer.alloc(3 * mebibyte, 7);
      const { elsewhere, compare } = twins({ 'vm/disk.img': image });
      image[offset]! ^= 1;
      writeFileSync(join(elsewhere, 'vm/disk.img'), image);
      const { differences } = await compare();
      expect(differences).toEqual([{ path: 'vm/disk.img', what: `other bytes from ${offset} on`, offset }]);
    },
  );

  it('names both lengths, and where the shorter one ends, if it is the beginning of the other', async () => {
    const { elsewhere, compare } = twins({ 'disk.img': Buffer.alloc(2 * mebibyte) });
    truncateSync(join(elsewhere, 'disk.img'), mebibyte);
    const { differences } = await compare();
    expect(differences).toEqual([
      {
        path: 'disk.img',
        what: `other bytes from ${mebibyte} on, ${2 * mebibyte} bytes here, ${mebibyte} elsewhere`,
        offset: mebibyte,
      },
    ]);
  });

  it('does not take an empty file for the beginning of nothing', async () => {
    const { elsewhere, compare } = twins({ lock: '' });
    writeFileSync(join(elsewhere, 'lock'), 'x');
    expect((await compare()).differences).toMatchObject([{ path: 'lock', offset: 0 }]);
  });

  it('says which side lacks a file', async () => {
    const { here, elsewhere, compare } = twins({ both: '' });
    writeFileSync(join(here, 'ours'), '');
    writeFileSync(join(elsewhere, 'theirs'), '');
    expect((await compare()).differences).toEqual([
      { path: 'ours', what: 'missing elsewhere' },
      { path: 'theirs', what: 'missing here' },
    ]);
  });

  it('sees modes, kinds and the targets of links', async () => {
    const { here, elsewhere, compare } = twins({ file: 'same' });
    chmodSync(join(elsewhere, 'file'), 0o600);
    symlinkSync('1', join(here, 'latest'));
    symlinkSync('2', join(elsewhere, 'latest'));
    mkdirSync(join(here, 'thing'));
    writeFileSync(join(elsewhere, 'thing'), '');
    expect((await compare()).differences).toEqual([
      { path: 'file', what: 'mode 0644 here, 0600 elsewhere' },
      { path: 'latest', what: 'a link to 1 here, to 2 elsewhere' },
      { path: 'thing', what: 'a directory here, a file elsewhere' },
    ]);
  });

  it('leaves modes alone where they do not count', async () => {
    const { elsewhere, compare } = twins({ file: 'same' });
    chmodSync(join(elsewhere, 'file'), 0o600);
    expect((await compare({ ...everything, modes: false })).differences).toEqual([]);
  });

  it('looks neither into what is skipped nor at the content of what only has a name', async () => {
    const { elsewhere, compare } = twins({ '.staging/a': '1', 'index.sig': '1', 'index.json': '1' });
    for (const path of ['.staging/a', '.staging/b', 'index.sig']) writeFileSync(join(elsewhere, path), '2');
    const rules = {
      skip: (path: string) => path === '.staging',
      nameOnly: (path: string) => path.endsWith('.sig'),
      modes: true,
    };
    expect((await compare(rules)).differences).toEqual([]);
    writeFileSync(join(elsewhere, 'index.json'), '2');
    expect((await compare(rules)).differences).toMatchObject([{ path: 'index.json', offset: 0 }]);
  });
});
