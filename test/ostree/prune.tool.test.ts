import { readFileSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Commit } from '../../src/model.ts';
import { moveRef } from '../../src/ostree/commit.ts';
import {
  listStoredCommits,
  listStoredRefs,
  measurePrune,
  parsePrunedBytes,
  prune,
} from '../../src/ostree/prune.ts';
import { errorOf } from '../helpers/host.ts';
import { lacks } from '../helpers/needs.ts';
import { ostree, ref, repository } from './small-repository.ts';

const missing = lacks({ programs: ['ostree', 'gpg'], root: true });

/** Two versions at a ref, and a commit of the workspace's own. */
async function made() {
  const { host, commit, fsck } = await repository();
  const first = await commit('one');
  const second = await commit('two', first);
  await moveRef(host, second);
  const other = await commit('three');
  ostree(host, 'refs', '--create=cache/merged/abc', other.id);
  const scratch = join(host.workspace.temporary, 'scratch');
  const measured = (...keep: Commit[]): Promise<number> =>
    measurePrune(host, {
      repository: host.workspace.repository,
      keep: keep.map(({ id }) => id),
      scratch,
    });
  return { host, first, second, other, fsck, measured };
}

describe.skipIf(missing !== undefined)(
  `a repository${missing === undefined ? '' : ` (skipped: ${missing})`}`,
  () => {
    it('lists its refs and commits with their times', async () => {
      const { host, first, second, other } = await made();
      const { repository: path } = host.workspace;
      utimesSync(join(path, 'refs/heads/cache/merged/abc'), 1000, 1000);
      expect(await listStoredRefs(path)).toEqual([
        { name: 'heads/cache/merged/abc', commit: other.id, used: 1000 },
        { name: `heads/${ref}`, commit: second.id, used: expect.closeTo(Date.now() / 1000, -3) },
      ]);
      const stored = await listStoredCommits(path);
      expect(stored.map(({ id }) => id).toSorted()).toEqual([first.id, second.id, other.id].toSorted());
      for (const commit of stored) expect(commit.made).toBeCloseTo(Date.now() / 1000, -3);
    });

    it('tells what would be free without changing anything', async () => {
      const { host, first, second, other, measured } = await made();
      const before = ostree(host, 'refs');
      expect(await measured(first, second, other)).toBe(0);
      const one = await measured(second, other);
      expect(one).toBeGreaterThan(0);
      expect(await measured(second)).toBeGreaterThan(one);
      expect(ostree(host, 'refs')).toBe(before);
      expect(await listStoredCommits(host.workspace.repository)).toHaveLength(3);
    });

    it('loses the refs and commits that are named, what only they needed, and nothing else', async () => {
      const { host, first, second, other, fsck, measured } = await made();
      const { repository: path } = host.workspace;
      await prune(host, { repository: path, refs: ['cache/merged/abc'], commits: [first.id, other.id] });
      expect(ostree(host, 'refs').trim()).toBe(ref);
      expect((await listStoredCommits(path)).map(({ id }) => id)).toEqual([second.id]);
      const metadata = readdirSync(join(path, 'objects'), { recursive: true, encoding: 'utf8' });
      expect(metadata.filter((name) => name.endsWith('.commitmeta'))).toHaveLength(1);
      expect(await measured(second)).toBe(0);
      fsck();
    });

    it('is refused where a commit that is to stay is not whole', async () => {
      const { host, second, measured } = await made();
      const { repository: path } = host.workspace;
      const trees = readdirSync(join(path, 'objects'), { recursive: true, encoding: 'utf8' });
      for (const name of trees.filter((each) => each.endsWith('.dirtree')))
        rmSync(join(path, 'objects', name));
      expect((await errorOf(measured(second))).output).toMatch(/No such metadata object/);
    });

    it('is refused where a ref names no commit, or the configuration is gone', async () => {
      const { host, second, measured } = await made();
      const { repository: path } = host.workspace;
      const file = join(path, 'refs/heads', ref);
      const text = readFileSync(file);
      writeFileSync(file, '');
      expect((await errorOf(listStoredRefs(path))).message).toContain(`refs/heads/${ref} names no commit`);
      writeFileSync(file, text);
      rmSync(join(path, 'config'));
      expect((await errorOf(measured(second))).message).toContain('it has no config');
    });
  },
);

it.each([
  ['Total objects: 3619\nWould delete: 2557 objects, freeing 82.7 MB', 82_700_000],
  ['Would delete: 1 objects, freeing 512 bytes', 512],
  ['Would delete: 3 objects, freeing 1.5\u00A0kB', 1500],
  ['Would delete: 3 objects, freeing 2.0 GB', 2_000_000_000],
  ['No unreachable objects', 0],
])('what ostree says of freed bytes is read: %j', (text, bytes) => {
  expect(parsePrunedBytes(text)).toBe(bytes);
});
