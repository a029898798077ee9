import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { sha256 } from '../../src/host/files.ts';
import type { Commit } from '../../src/model.ts';
import { commitTree } from '../../src/ostree/commit.ts';
import { readDeltaFile } from '../../src/ostree/delta-file.ts';
import { makeDelta } from '../../src/ostree/delta.ts';
import { proveDelta } from '../../src/ostree/prove-delta.ts';
import { openRepository } from '../../src/ostree/repository.ts';
import { temporaryHost } from '../helpers/host.ts';
import { lacks } from '../helpers/needs.ts';
import { layFiles } from '../helpers/trees.ts';
import { ostree, repository } from './small-repository.ts';

const skipped = lacks({ programs: ['ostree', 'taskset', 'xz'] });

/** As ostree itself makes it, with the time of day in it, on one processor. */
function plain(repo: string, from: Commit | undefined, ...args: string[]): void {
  const start = from === undefined ? '--empty' : `--from=${from.id}`;
  const options = ['--min-fallback-size=0', '--max-chunk-size=2'];
  execFileSync(
    'taskset',
    ['--cpu-list', '0', 'ostree', `--repo=${repo}`, 'static-delta', 'generate', start, ...options, ...args],
    { stdio: 'pipe' },
  );
}

/** 2.2 MB that do not compress, changed so often that ostree patches them (bsdiff) instead of copying ranges. */
function largeFile(change: string): Buffer {
  const blocks = Array.from({ length: 1100 }, (_, index) => {
    const block = createHash('shake256', { outputLength: 2000 }).update(`${index}`).digest();
    block.write(change, 500);
    return block;
  });
  return Buffer.concat(blocks);
}

describe.skipIf(skipped)(`a delta file${skipped === undefined ? '' : ` (${skipped})`}`, () => {
  /** Two commits of many small files and a large one, so that deltas have several parts; `same`: it is in both. */
  async function history(large: boolean | 'same' = true) {
    const made = await repository();
    const commit = (change: string, head?: Commit): Promise<Commit> => {
      const tree = made.tree(change);
      const files = Array.from({ length: 100 }, (_, index) => [
        `usr/share/many/${index % 20}/${index}`,
        index % 3 === 0 ? `${change} ${index}` : `${index}`,
      ]);
      layFiles(tree.directory, Object.fromEntries(files) as Record<string, string>);
      const content = large === 'same' ? large : change;
      if (large !== false) writeFileSync(join(tree.directory, 'usr/share/large'), largeFile(content));
      return commitTree(made.host, { tree, head, keys: made.keys });
    };
    const first = await commit('one');
    const second = await commit('two', first);
    return { ...made, first, second, commit };
  }

  it('is the same, byte for byte, from a repository with another history, at another time, on one processor', async () => {
    const { host, first, second, commit } = await history();
    // Objects arrive in another order here, and many others lie among them.
    const other = temporaryHost();
    await openRepository(other);
    const third = await commit('three', second);
    for (const { id } of [third, second, first]) ostree(other, 'pull-local', host.workspace.repository, id);
    for (const from of [first, undefined]) {
      const [one, two, three] = ['one', 'two', 'three'].map((name) =>
        join(host.workspace.temporary, `${name}.delta`),
      ) as [string, string, string];
      const here = await makeDelta(host, { from, to: second, path: one });
      const there = await makeDelta(other, { from, to: second, path: two });
      expect(readFileSync(two).equals(readFileSync(one))).toBe(true);
      expect({ ...there, path: one }).toEqual(here);
      expect(here.sha256).toBe(sha256(readFileSync(one)));
      if (from === undefined) continue;
      plain(other.workspace.repository, from, '--inline', `--to=${second.id}`, `--filename=${three}`);
      // What differs from what ostree itself makes is the time alone.
      const [ours, theirs] = [readFileSync(one), readFileSync(three)];
      const { timeAt } = readDeltaFile(ours);
      expect(Number(theirs.readBigUInt64BE(timeAt))).toBeGreaterThan(second.timestamp);
      expect(Number(ours.readBigUInt64BE(timeAt))).toBe(second.timestamp);
      ours.copy(theirs, timeAt, timeAt, timeAt + 8);
      expect(theirs.equals(ours)).toBe(true);
    }
  });

  it('says where it leads, and what its parts hold', async () => {
    const { host, first, second } = await history();
    const path = join(host.workspace.temporary, 'x.delta');
    await makeDelta(host, { from: undefined, to: second, path });
    expect(readDeltaFile(readFileSync(path))).toMatchObject({ from: undefined, to: second.id });
    await makeDelta(host, { from: first, to: second, path });
    const file = readDeltaFile(readFileSync(path));
    expect([file.from, file.to]).toEqual([first.id, second.id]);
    expect(file.parts.length).toBeGreaterThanOrEqual(2);
    // ostree prints `PartMeta0: nobjects=1 size=2 usize=3`, of deltas that lie in a repository.
    plain(host.workspace.repository, first, `--to=${second.id}`);
    const shown = ostree(host, 'static-delta', 'show', `${first.id}-${second.id}`);
    const sizes = [...shown.matchAll(/^PartMeta\d+: .*usize=(\d+)/gm)].map(([, size]) => Number(size));
    expect(file.parts.map(({ objectBytes }) => objectBytes)).toEqual(sizes);
    for (const part of file.parts) expect(sha256(part.data)).toBe(part.sha256);
    expect(Math.max(...file.parts.map(({ dictionaryBytes }) => dictionaryBytes))).toBeGreaterThan(2_190_000);
  });

  it('is refused where it is cut off, or none at all', async () => {
    const { host, second } = await history(false);
    const path = join(host.workspace.temporary, 'x.delta');
    await makeDelta(host, { from: undefined, to: second, path });
    const good = readFileSync(path);
    for (const bytes of [good.subarray(0, good.length - 1), Buffer.alloc(0), Buffer.alloc(1000, 1)])
      expect(() => readDeltaFile(bytes)).toThrow(RangeError);
  });

  it('from nothing is the same whether its parts were there before or not', async () => {
    const { host, first, second } = await history();
    const [before, fresh, reused, damaged] = ['before', 'fresh', 'reused', 'damaged'].map((name) =>
      join(host.workspace.temporary, `${name}.delta`),
    ) as [string, string, string, string];
    const compressions = (): number =>
      readFileSync(host.log.path, 'utf8').match(/ xz --threads/g)?.length ?? 0;
    const make = async (path: string, earlier: string[], to = second): Promise<number> => {
      const count = compressions();
      await makeDelta(host, { from: undefined, to, path, earlier });
      return compressions() - count;
    };
    await make(before, [], first);
    const all = await make(fresh, []);
    expect(await make(reused, [fresh])).toBe(0);
    expect(readFileSync(reused).equals(readFileSync(fresh))).toBe(true);
    // One part that is broken is made again.
    const bytes = readFileSync(fresh);
    bytes[500_000]! ^= 1;
    writeFileSync(damaged, bytes);
    expect(await make(reused, [damaged])).toBe(1);
    expect(readFileSync(reused).equals(readFileSync(fresh))).toBe(true);
    writeFileSync(damaged, bytes.subarray(1000));
    expect(await make(reused, [damaged, before])).toBeLessThanOrEqual(all);
    expect(readFileSync(reused).equals(readFileSync(fresh))).toBe(true);
  });

  it('from nothing to two images at the same time packs once what both have, and gives the same bytes', async () => {
    const { host, first, second } = await history('same');
    const compressions = (): number =>
      readFileSync(host.log.path, 'utf8').match(/ xz --threads/g)?.length ?? 0;
    const make = async (name: string, to: Commit, parts?: string): Promise<Buffer> => {
      const path = join(host.workspace.temporary, `${name}.delta`);
      await makeDelta(host, { from: undefined, to, path, ...(parts === undefined ? {} : { parts }) });
      return readFileSync(path);
    };
    const [one, two] = [await make('one', first), await make('two', second)];
    const apart = compressions();
    const parts = join(host.workspace.temporary, 'parts');
    const together = await Promise.all([make('first', first, parts), make('second', second, parts)]);
    expect(together.map((bytes, index) => bytes.equals([one, two][index]!))).toEqual([true, true]);
    expect(compressions() - apart).toBeLessThan(apart);
    expect(readdirSync(parts)).toHaveLength(compressions() - apart);
  });

  it('from nothing is what ostree itself makes where a link is not UTF-8, and good in both cases', async () => {
    const { host, keys, tree } = await repository();
    const [usual, odd] = [tree('usual'), tree('odd')];
    symlinkSync(Buffer.from([0xff]), join(odd.directory, 'usr/share/odd'));
    for (const [index, { directory }] of [usual, odd].entries()) {
      chmodSync(join(directory, 'usr/share/content'), 0o4751);
      symlinkSync('nowhere/é', join(directory, 'usr/share/link'));
      writeFileSync(join(directory, 'usr/share/empty'), '');
      const commit = await commitTree(host, { tree: [usual, odd][index]!, head: undefined, keys });
      const path = join(host.workspace.temporary, `${index}.delta`);
      const delta = await makeDelta(host, { from: undefined, to: commit, path });
      expect(readDeltaFile(readFileSync(path)).packer === undefined).toBe(index === 1);
      expect(await proveDelta(host, delta, host.workspace.temporary)).toMatchObject(delta);
    }
  });
});
