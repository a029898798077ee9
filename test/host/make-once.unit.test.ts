import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { makeDirectory, pathExists, writeFileAtomically } from '../../src/host/files.ts';
import { makeOnce } from '../../src/host/make-once.ts';
import { temporaryDirectory } from '../helpers/host.ts';

/** A directory with two files, between which others may look. */
function slowMaker() {
  const made: string[] = [];
  return {
    made,
    async make(path: string): Promise<void> {
      made.push(path);
      await makeDirectory(path);
      writeFileSync(join(path, 'one'), '1');
      await sleep(20);
      writeFileSync(join(path, 'two'), '2');
    },
  };
}

it('makes it once for all who ask at the same moment, and each finds all of it', async () => {
  const place = join(temporaryDirectory(), 'a/b/devices');
  const { made, make } = slowMaker();
  const seen = await Promise.all(
    [0, 5, 10].map(async (delay) => {
      await sleep(delay);
      await makeOnce(place, make);
      return readdirSync(place);
    }),
  );
  expect(seen).toEqual([
    ['one', 'two'],
    ['one', 'two'],
    ['one', 'two'],
  ]);
  expect(made).toHaveLength(1);
  expect(readdirSync(join(place, '..'))).toEqual(['devices']);
});

it('shows nothing at the place before all of it is made', async () => {
  const place = join(temporaryDirectory(), 'devices');
  await makeOnce(place, async (path) => {
    await slowMaker().make(path);
    expect(existsSync(place)).toBe(false);
  });
  expect(existsSync(place)).toBe(true);
});

it('makes nothing where it is there', async () => {
  const { made, make } = slowMaker();
  await makeOnce(temporaryDirectory(), make);
  expect(made).toEqual([]);
});

it('gives the error to all who wait, leaves nothing, and tries again for who asks later', async () => {
  const directory = temporaryDirectory();
  const place = join(directory, 'devices');
  const fail = async (path: string): Promise<void> => {
    await slowMaker().make(path);
    throw new Error('no mknod');
  };
  const asked = await Promise.allSettled([makeOnce(place, fail), makeOnce(place, fail)]);
  expect(asked.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  expect(readdirSync(directory)).toEqual([]);
  await makeOnce(place, slowMaker().make);
  expect(readdirSync(place)).toEqual(['one', 'two']);
});

it('keeps what another process has made in the meantime', async () => {
  const directory = temporaryDirectory();
  const place = join(directory, 'archive');
  await makeOnce(place, async (path) => {
    await slowMaker().make(path);
    mkdirSync(place);
    writeFileSync(join(place, 'theirs'), '');
  });
  expect(readdirSync(directory)).toEqual(['archive']);
  expect(readdirSync(place)).toEqual(['theirs']);
});

it('removes what a process that was killed has left beside it, and not what one is making', async () => {
  const directory = temporaryDirectory();
  const ended = spawnSync('true').pid;
  for (const pid of [ended, process.ppid]) mkdirSync(join(directory, `.tools.${pid}`));
  await makeOnce(join(directory, 'tools'), slowMaker().make);
  expect(readdirSync(directory)).toEqual([`.tools.${process.ppid}`, 'tools']);
});

it('completes in its place what is not whole: an empty directory, or one behind a link', async () => {
  const directory = temporaryDirectory();
  mkdirSync(join(directory, 'disk'));
  symlinkSync('disk', join(directory, 'repo'));
  const place = join(directory, 'repo');
  const isWhole = (): Promise<boolean> => pathExists(join(place, 'two'));
  const { made, make } = slowMaker();
  await makeOnce(place, make, isWhole);
  await makeOnce(place, make, isWhole);
  expect(made.map((path) => basename(path))).toEqual(['repo']);
  expect(readdirSync(join(directory, 'disk'))).toEqual(['one', 'two']);
});

it('two parts of a command may write the same file at the same moment', async () => {
  const path = join(temporaryDirectory(), 'key.pub');
  const texts = Array.from({ length: 20 }, (_, index) => String(index).repeat(1000));
  await Promise.all(texts.map((text) => writeFileAtomically(path, text)));
  expect(texts).toContain(readFileSync(path, 'utf8'));
  expect(readdirSync(join(path, '..'))).toEqual(['key.pub']);
});
