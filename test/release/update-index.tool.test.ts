import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Commit, Delta } from '../../src/model.ts';
import { closeSigningKey, openSigningKey } from '../../src/ostree/signing.ts';
import type { UpdateIndex } from '../../src/release/update-index.ts';
import {
  deltaFileName,
  nextIndex,
  publishIndex,
  readIndex,
  updatesDirectory,
} from '../../src/release/update-index.ts';
import { errorOf, temporaryHost } from '../helpers/host.ts';
import { commitOf } from '../helpers/trees.ts';

const [vm, lxc] = ['treeline/debian-12/x86_64/vm', 'treeline/debian-12/x86_64/lxc'];
const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((digit) => digit.repeat(64)) as [
  string,
  string,
  string,
  string,
];
const empty: UpdateIndex = { format: 1, refs: {}, deltas: [] };

const delta = (from: string | undefined, to: string, ref = vm): Delta => ({
  ref,
  from,
  to,
  path: `/scratch/${deltaFileName(ref, from, to)}`,
  bytes: 10,
  sha256: 'f'.repeat(64),
});
const commit = (id: string, parent: string | undefined, ref = vm): Commit => commitOf({ id, parent, ref });
const ends = (index: UpdateIndex): string[] =>
  index.deltas.map(({ from, to }) => `${from?.[0] ?? '-'}${to[0]}`).toSorted();

describe('the next index', () => {
  const first = nextIndex(empty, [commit(b, a)], [delta(a, b), delta(undefined, b)]);

  it('names each head, and each delta by the file beside it', () => {
    expect(first.refs).toEqual({ [vm]: { commit: b, version: '20251104.0', timestamp: 1_762_214_400 } });
    expect(first.deltas[0]).toEqual({
      ref: vm,
      from: a,
      to: b,
      file: `debian-12-x86_64-vm-${'a'.repeat(12)}-${'b'.repeat(12)}.delta`,
      bytes: 10,
      sha256: 'f'.repeat(64),
    });
    expect(first.deltas[1]!.from).toBeNull();
  });

  it('keeps the deltas to the head’s parent, and drops older ones', () => {
    const second = nextIndex(first, [commit(c, b)], [delta(b, c), delta(undefined, c)]);
    expect(ends(second)).toEqual(['-b', '-c', 'ab', 'bc']);
    const third = nextIndex(second, [commit(d, c)], [delta(c, d), delta(undefined, d)]);
    expect(ends(third)).toEqual(['-c', '-d', 'bc', 'cd']);
  });

  it('leaves other refs as they are', () => {
    const other = nextIndex(first, [commit(d, c, lxc)], [delta(c, d, lxc)]);
    expect(Object.keys(other.refs)).toEqual([lxc, vm]);
    expect(ends(other)).toEqual(['-b', 'ab', 'cd']);
  });

  it('leaves the deltas to the parents of other refs’ heads, too', () => {
    const second = nextIndex(first, [commit(c, b)], [delta(b, c), delta(undefined, c)]);
    const other = nextIndex(second, [commit(d, undefined, lxc)], [delta(undefined, d, lxc)]);
    expect(ends(other.deltas.length === 0 ? empty : other)).toEqual(['-b', '-c', '-d', 'ab', 'bc']);
  });

  it('replaces a delta that was made again', () => {
    const again = nextIndex(first, [commit(b, a)], [{ ...delta(a, b), bytes: 11 }]);
    expect(again.deltas.map(({ bytes }) => bytes).toSorted()).toEqual([10, 11]);
  });

  it('is the same whatever order it was made in', () => {
    const one = nextIndex(empty, [commit(b, a), commit(d, c, lxc)], [delta(a, b), delta(c, d, lxc)]);
    const other = nextIndex(empty, [commit(d, c, lxc), commit(b, a)], [delta(c, d, lxc), delta(a, b)]);
    expect(JSON.stringify(other)).toBe(JSON.stringify(one));
  });
});

describe('reading the index', () => {
  const write = (text: string) => {
    const host = temporaryHost();
    mkdirSync(updatesDirectory(host.workspace), { recursive: true });
    writeFileSync(join(updatesDirectory(host.workspace), 'index.json'), text);
    return host.workspace;
  };
  const good = {
    format: 1,
    refs: {},
    deltas: [{ ref: vm, from: null, to: a, file: 'x.delta', bytes: 1, sha256: b }],
  };

  it('gives an empty one where there is none, and what stands in it else', async () => {
    expect(await readIndex(temporaryHost().workspace)).toEqual(empty);
    expect(await readIndex(write(JSON.stringify(good)))).toEqual(good);
  });

  it.each([
    ['is cut off', JSON.stringify(good).slice(0, 50)],
    ['is empty', ''],
    ['is of another format', JSON.stringify({ ...good, format: 2 })],
    [
      'names a file outside of its directory',
      JSON.stringify({ ...good, deltas: [{ ...good.deltas[0], file: '../x' }] }),
    ],
    ['names the directory above', JSON.stringify({ ...good, deltas: [{ ...good.deltas[0], file: '..' }] })],
    ['names a commit that is none', JSON.stringify({ ...good, deltas: [{ ...good.deltas[0], to: 'abc' }] })],
    ['has what is not known', JSON.stringify({ ...good, more: 1 })],
    ['has a size that is none', JSON.stringify({ ...good, deltas: [{ ...good.deltas[0], bytes: -1 }] })],
  ])('is refused where it %s', async (_title, text) => {
    const error = await errorOf(readIndex(write(text)));
    expect(error.code).toBe('update');
    expect(error.message).toMatch(/^Cannot read .*\/updates\/index\.json: it is not an update index$/);
    expect(error.hint).toContain('build-update');
  });
});

describe('publishing', () => {
  async function published() {
    const host = temporaryHost();
    const key = await openSigningKey(host);
    onTestFinished(() => closeSigningKey(host, key));
    const directory = updatesDirectory(host.workspace);
    const staging = join(host.workspace.output, '.staging');
    const publish = async (commits: Commit[], deltas: Delta[], index = empty): Promise<UpdateIndex> => {
      mkdirSync(staging, { recursive: true });
      const staged = deltas.map((entry) => ({
        ...entry,
        path: join(staging, entry.path.split('/').at(-1)!),
      }));
      for (const { path } of staged) writeFileSync(path, 'delta');
      const next = nextIndex(index, commits, staged);
      await publishIndex(host, { index: next, deltas: staged, key });
      return next;
    };
    const verify = () =>
      execFileSync(
        'gpgv',
        ['--keyring', key.publicKeyring, join(directory, 'index.json.sig'), join(directory, 'index.json')],
        { stdio: 'pipe' },
      );
    return { host, key, directory, staging, publish, verify };
  }

  it('puts the files beside an index that reads back and whose signature is good', async () => {
    const { host, directory, publish, verify } = await published();
    const index = await publish([commit(b, a)], [delta(a, b), delta(undefined, b)]);
    expect(await readIndex(host.workspace)).toEqual(index);
    expect(verify).not.toThrow();
    expect(readdirSync(directory)).toEqual(
      [...index.deltas.map(({ file }) => file), 'index.json', 'index.json.sig'].toSorted(),
    );
    writeFileSync(
      join(directory, 'index.json'),
      readFileSync(join(directory, 'index.json'), 'utf8').replace('"bytes":10', '"bytes":11'),
    );
    expect(verify).toThrow('BAD signature');
  });

  it('removes deltas that are not listed any more, and nothing else', async () => {
    const { directory, publish, verify } = await published();
    const first = await publish([commit(b, a)], [delta(a, b)]);
    writeFileSync(join(directory, 'NOTES.txt'), 'mine');
    await publish([commit(d, c)], [delta(c, d)], first);
    expect(readdirSync(directory)).toEqual(
      [deltaFileName(vm, c, d), 'NOTES.txt', 'index.json', 'index.json.sig'].toSorted(),
    );
    expect(verify).not.toThrow();
  });

  it('leaves the old index, its signature and its files where signing fails', async () => {
    const { host, key, directory, publish, verify, staging } = await published();
    const first = await publish([commit(b, a)], [delta(a, b)]);
    const next = { ...delta(c, d), path: join(staging, 'next.delta') };
    writeFileSync(next.path, 'x');
    const broken = { ...key, fingerprint: '0'.repeat(40) };
    await errorOf(
      publishIndex(host, { index: nextIndex(first, [commit(d, c)], [next]), deltas: [next], key: broken }),
    );
    expect(await readIndex(host.workspace)).toEqual(first);
    expect(verify).not.toThrow();
    expect(existsSync(join(directory, first.deltas[0]!.file))).toBe(true);
  });
});
