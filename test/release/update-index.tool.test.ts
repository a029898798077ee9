import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { sha256 } from '../../src/host/files.ts';
import type { Commit, Delta } from '../../src/model.ts';
import { pairFile } from '../../src/ostree/kernel-pair.ts';
import { closeSigningKeys, openSigningKeys } from '../../src/ostree/signing.ts';
import { publishIndex, renewSignature, signatureName } from '../../src/release/publish-index.ts';
import type { IndexedHead, UpdateIndex } from '../../src/release/update-index.ts';
import {
  deltaFileName,
  filesOf,
  formatIndex,
  nextIndex,
  presentDeltas,
  readIndex,
  updatesDirectory,
} from '../../src/release/update-index.ts';
import { errorOf, temporaryHost } from '../helpers/host.ts';
import { commitOf } from '../helpers/trees.ts';

const [vm, lxc] = ['treeline/debian-12/x86_64/vm', 'treeline/debian-12/x86_64/lxc'];
const empty: UpdateIndex = { format: 2, refs: {}, deltas: [] };

/** A commit of the ref, named by one hexadecimal digit. */
const commit = (digit: string, ref = vm): Commit =>
  commitOf({ id: digit.repeat(64), version: `20251104.${Number.parseInt(digit, 16)}`, ref });
const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((digit) => commit(digit)) as [Commit, Commit, Commit, Commit];
const head = (of: Commit, ...before: Commit[]): IndexedHead => ({
  commit: of,
  before: before.map(({ id }) => id),
});
const delta = (from: Commit | undefined, to: Commit): Delta => ({
  from,
  to,
  path: `/scratch/${deltaFileName(to.ref, from?.id, to.id)}`,
  bytes: 5,
  unpackedBytes: 8192,
  memory: 8 << 20,
  sha256: 'f'.repeat(64),
});
/** With a pair whose files lie beside its own. */
const withPair = (plain: Delta): Delta => {
  const file = (part: 'kernel' | 'rest') => ({
    path: pairFile(plain.path, part),
    ...{ bytes: 5, unpackedBytes: 4096, sha256: 'e'.repeat(64) },
  });
  const [from, to, start] = ['1', '2', '3'].map((digit) => digit.repeat(64)) as [string, string, string];
  const pair = { kernel: { ...file('kernel'), from, to }, rest: { ...file('rest'), from: start } };
  return { ...plain, pair: { ...pair, memory: 16 << 20 } };
};
const ends = (index: UpdateIndex): string[] =>
  index.deltas.map(({ from, to }) => `${from?.[0] ?? '-'}${to[0]}`).toSorted();

describe('the next index', () => {
  const first = nextIndex(empty, [head(b, a)], [delta(a, b), delta(undefined, b)]);

  it('names each head, and of each delta all that a machine chooses by', () => {
    expect(first.refs).toEqual({ [vm]: { commit: b.id, version: '20251104.11', timestamp: 1_762_214_400 } });
    expect(first.deltas[0]).toEqual({
      ref: vm,
      from: a.id,
      fromVersion: '20251104.10',
      to: b.id,
      version: '20251104.11',
      timestamp: 1_762_214_400,
      file: `debian-12-x86_64-vm-${'a'.repeat(12)}-${'b'.repeat(12)}.delta`,
      bytes: 5,
      unpackedBytes: 8192,
      memory: 8 << 20,
      sha256: 'f'.repeat(64),
    });
    expect(first.deltas[1]).toMatchObject({ from: null, fromVersion: null });
  });

  it('says what a pair leads between, beside the one delta', () => {
    const [paired] = nextIndex(empty, [head(b, a)], [withPair(delta(a, b))]).deltas;
    const name = `debian-12-x86_64-vm-${'a'.repeat(12)}-${'b'.repeat(12)}`;
    const file = { bytes: 5, unpackedBytes: 4096, sha256: 'e'.repeat(64) };
    expect(paired).toMatchObject({ file: `${name}.delta`, bytes: 5 });
    expect(paired!.pair).toEqual({
      kernel: { from: '1'.repeat(64), to: '2'.repeat(64), file: `${name}-kernel.delta`, ...file },
      rest: { from: '3'.repeat(64), file: `${name}-rest.delta`, ...file },
      memory: 16 << 20,
    });
  });

  it('keeps the deltas to where the new ones start, those from nothing to the head alone', () => {
    const second = nextIndex(first, [head(c, b)], [delta(b, c), delta(undefined, c)]);
    expect(ends(second)).toEqual(['-c', 'ab', 'bc']);
    const third = nextIndex(second, [head(d, c)], [delta(c, d), delta(undefined, d)]);
    expect(ends(third)).toEqual(['-d', 'bc', 'cd']);
  });

  it('keeps longer chains where deltas start from more releases', () => {
    const second = nextIndex(first, [head(c, b, a)], [delta(b, c), delta(a, c), delta(undefined, c)]);
    const third = nextIndex(second, [head(d, c, b)], [delta(c, d), delta(b, d), delta(undefined, d)]);
    expect(ends(third)).toEqual(['-d', 'ab', 'ac', 'bc', 'bd', 'cd']);
  });

  it('keeps what leads to a head that stays', () => {
    const more = nextIndex(first, [head(b, a, c)], [delta(c, b)]);
    expect(ends(more)).toEqual(['-b', 'ab', 'cb']);
  });

  it('leaves other refs as they are', () => {
    const other = commit('d', lxc);
    const both = nextIndex(first, [head(other)], [delta(commit('c', lxc), other)]);
    expect(Object.keys(both.refs)).toEqual([lxc, vm]);
    expect(ends(both)).toEqual(['-b', 'ab', 'cd']);
  });

  it('replaces a delta that was made again', () => {
    const again = nextIndex(first, [head(b, a)], [{ ...delta(a, b), bytes: 11 }]);
    expect(again.deltas.map(({ bytes }) => bytes).toSorted()).toEqual([11, 5]);
  });

  it('is the same, byte for byte, whatever order it was made in', () => {
    const [from, to] = [commit('c', lxc), commit('d', lxc)];
    const one = nextIndex(empty, [head(b, a), head(to, from)], [delta(a, b), delta(from, to)]);
    const other = nextIndex(empty, [head(to, from), head(b, a)], [delta(from, to), delta(a, b)]);
    expect(formatIndex(other)).toBe(formatIndex(one));
  });
});

describe('reading the index', () => {
  const write = (text: string) => {
    const host = temporaryHost();
    mkdirSync(updatesDirectory(host.workspace), { recursive: true });
    writeFileSync(join(updatesDirectory(host.workspace), 'index.json'), text);
    return host.workspace;
  };
  const good = JSON.parse(formatIndex(nextIndex(empty, [head(b, a)], [delta(undefined, b)]))) as UpdateIndex;

  it('gives an empty one where there is none, and what stands in it else', async () => {
    expect(await readIndex(temporaryHost().workspace)).toEqual(empty);
    expect(await readIndex(write(JSON.stringify(good)))).toEqual(good);
  });

  it('of the first format gives its heads: the deltas are made anew', async () => {
    const old = {
      format: 1,
      refs: good.refs,
      deltas: [{ ref: vm, from: null, to: b.id, file: 'x.delta', bytes: 1, sha256: b.id }],
    };
    expect(await readIndex(write(JSON.stringify(old)))).toEqual({ format: 2, refs: good.refs, deltas: [] });
  });

  it('counts only deltas whose files are there and whole', async () => {
    const index = nextIndex(empty, [head(c, b)], [delta(a, c), delta(b, c), delta(undefined, c)]);
    const workspace = write(formatIndex(index));
    const file = (from: Commit | undefined): string =>
      join(updatesDirectory(workspace), deltaFileName(vm, from?.id, c.id));
    writeFileSync(file(a), 'whole');
    writeFileSync(file(b), 'cut');
    expect((await presentDeltas(workspace, index)).map(({ from }) => from)).toEqual([a.id]);
  });

  it('counts a delta only with the files of its pair', async () => {
    const index = nextIndex(empty, [head(b, a)], [withPair(delta(a, b))]);
    const workspace = write(formatIndex(index));
    const files = filesOf(index.deltas[0]!).map(({ file }) => join(updatesDirectory(workspace), file));
    expect(files).toHaveLength(3);
    for (const file of files) {
      expect(await presentDeltas(workspace, index)).toEqual([]);
      writeFileSync(file, 'delta');
    }
    expect(await presentDeltas(workspace, index)).toEqual(index.deltas);
    expect(await readIndex(workspace)).toEqual(index);
  });

  it.each([
    ['is cut off', JSON.stringify(good).slice(0, 50)],
    ['is empty', ''],
    ['is of another format', JSON.stringify({ ...good, format: 3 })],
    [
      'names a file outside of its directory',
      JSON.stringify({ ...good, deltas: [{ ...good.deltas[0], file: '../x' }] }),
    ],
    ['names the directory above', JSON.stringify({ ...good, deltas: [{ ...good.deltas[0], file: '..' }] })],
    ['names a commit that is none', JSON.stringify({ ...good, deltas: [{ ...good.deltas[0], to: 'abc' }] })],
    ['has what is not known', JSON.stringify({ ...good, more: 1 })],
    ['has a size that is none', JSON.stringify({ ...good, deltas: [{ ...good.deltas[0], memory: -1 }] })],
  ])('is refused where it %s', async (_title, text) => {
    const error = await errorOf(readIndex(write(text)));
    expect(error.code).toBe('update');
    expect(error.message).toMatch(/^Cannot read .*\/updates\/index\.json: it is not an update index$/);
    expect(error.hint).toContain('build-update');
  });
});

/** A workspace with a key, and a way to publish indexes and to check them as machines do. */
async function published() {
  const host = temporaryHost();
  const keys = await openSigningKeys(host);
  onTestFinished(() => closeSigningKeys(host, keys));
  const directory = updatesDirectory(host.workspace);
  const staging = join(host.workspace.output, '.staging');
  const publish = async (
    heads: IndexedHead[],
    deltas: Delta[],
    { index = empty, by = keys, validDays = 90 } = {},
  ): Promise<UpdateIndex> => {
    mkdirSync(staging, { recursive: true });
    const staged = deltas.map((entry): Delta => {
      const path = join(staging, basename(entry.path));
      return entry.pair === undefined ? { ...entry, path } : withPair({ ...entry, path });
    });
    for (const { path, pair } of staged)
      for (const file of [path, ...(pair === undefined ? [] : [pair.kernel.path, pair.rest.path])])
        writeFileSync(file, 'delta');
    const next = nextIndex(index, heads, staged);
    await publishIndex(host, { index: next, deltas: staged, keys: by, validDays });
    return next;
  };
  const path = join(directory, 'index.json');
  const signature = (): string => join(directory, `index-${sha256(readFileSync(path)).slice(0, 16)}.sig`);
  /** Seconds since 1970: when the signature was made, and when its time is over. */
  const verify = (keyring = keys.publicKeyring): { made: number; expires: number } => {
    const told = execFileSync(
      'gpgv',
      ['--status-fd', '1', '--ignore-time-conflict', '--keyring', keyring, signature(), path],
      { stdio: 'pipe', encoding: 'utf8' },
    );
    const [, made, expires] = /VALIDSIG \w+ \S+ (\d+) (\d+)/.exec(told)!;
    return { made: Number(made), expires: Number(expires) };
  };
  /** As if the clock of this machine had been at that time: gpg alone knows of it. */
  const atTime = async (seconds: number, work: () => Promise<unknown>): Promise<void> => {
    const configuration = join(host.workspace.keys, 'gpg.conf');
    const before = readFileSync(configuration);
    appendFileSync(configuration, `faked-system-time ${seconds}\nignore-time-conflict\n`);
    await work();
    writeFileSync(configuration, before);
  };
  return { host, keys, directory, staging, publish, verify, signature, atTime, path };
}

describe('publishing', () => {
  it('puts the files beside an index that reads back and whose signature is good', async () => {
    const { host, directory, publish, verify, signature, path } = await published();
    const index = await publish([head(b, a)], [delta(a, b), delta(undefined, b)]);
    expect(await readIndex(host.workspace)).toEqual(index);
    const { made, expires } = verify();
    expect(expires - made).toBe(90 * 86_400);
    const names = [...index.deltas.map(({ file }) => file), 'index.json', basename(signature())];
    expect(readdirSync(directory)).toEqual(names.toSorted());
    const good = readFileSync(signature());
    writeFileSync(path, readFileSync(path, 'utf8').replace('"bytes":5', '"bytes":6'));
    writeFileSync(signature(), good);
    expect(verify).toThrow('BAD signature');
  });

  it('keeps the signature of the index before, for whoever has just read that one', async () => {
    const { directory, publish } = await published();
    const first = await publish([head(b, a)], [delta(a, b)]);
    const second = await publish([head(c, b)], [delta(b, c)], { index: first });
    const third = await publish([head(d, c)], [delta(c, d)], { index: second });
    const signatures = [second, third].map((index) => signatureName(formatIndex(index)));
    expect(readdirSync(directory).filter((name) => name.endsWith('.sig'))).toEqual(signatures.toSorted());
  });

  it('puts the files of a pair beside it, and removes them with their delta', async () => {
    const { directory, publish } = await published();
    const deltas = (): string[] => readdirSync(directory).filter((name) => name.endsWith('.delta'));
    const first = await publish([head(b, a)], [withPair(delta(a, b))]);
    expect(deltas()).toEqual(
      filesOf(first.deltas[0]!)
        .map(({ file }) => file)
        .toSorted(),
    );
    const second = await publish([head(c, b)], [delta(b, c)], { index: first });
    expect(deltas()).toHaveLength(4);
    await publish([head(d, c)], [delta(c, d)], { index: second });
    expect(deltas()).toEqual([deltaFileName(vm, b.id, c.id), deltaFileName(vm, c.id, d.id)]);
  });

  it('removes deltas that are not listed any more, and nothing else', async () => {
    const { directory, publish, verify } = await published();
    const first = await publish([head(b, a)], [delta(a, b)]);
    writeFileSync(join(directory, 'NOTES.txt'), 'mine');
    await publish([head(d, c)], [delta(c, d)], { index: first });
    expect(readdirSync(directory).filter((name) => !name.startsWith('index'))).toEqual(
      [deltaFileName(vm, c.id, d.id), 'NOTES.txt'].toSorted(),
    );
    expect(verify).not.toThrow();
  });

  it('leaves the old index, its signature and its files where signing fails', async () => {
    const { host, keys, directory, publish, verify } = await published();
    const first = await publish([head(b, a)], [delta(a, b)]);
    const broken = { ...keys, fingerprints: ['0'.repeat(40)] };
    await errorOf(publish([head(d, c)], [delta(c, d)], { index: first, by: broken }));
    expect(await readIndex(host.workspace)).toEqual(first);
    expect(verify).not.toThrow();
    expect(readdirSync(directory)).toHaveLength(3);
    expect(existsSync(join(directory, first.deltas[0]!.file))).toBe(true);
  });
});

describe('the signature of an index that stays', () => {
  const day = 86_400;
  const now = Math.floor(Date.now() / 1000);

  it('stays too in the first half of its time', async () => {
    const { host, keys, publish, signature } = await published();
    await publish([head(b, a)], [delta(a, b)]);
    const before = readFileSync(signature());
    expect(await renewSignature(host, { keys, validDays: 90, now: now + 44 * day })).toBeUndefined();
    expect(readFileSync(signature()).equals(before)).toBe(true);
  });

  it('is made anew in the second half, and is good from now on; the index stays as it is', async () => {
    const { host, keys, publish, atTime, verify, path } = await published();
    await atTime(now - 46 * day, () => publish([head(b, a)], [delta(a, b)]));
    expect(verify().made).toBe(now - 46 * day);
    const before = readFileSync(path, 'utf8');
    const until = await renewSignature(host, { keys, validDays: 90, now });
    expect(until).toBe(verify().expires);
    expect(verify().made).toBeGreaterThanOrEqual(now);
    expect(readFileSync(path, 'utf8')).toBe(before);
  });

  it('is made anew when its time is over', async () => {
    const { host, keys, publish, atTime, verify } = await published();
    await atTime(now - 100 * day, () => publish([head(b, a)], [delta(a, b)]));
    expect(await renewSignature(host, { keys, validDays: 90, now })).toBeGreaterThan(now + 89 * day);
    expect(verify().made).toBeGreaterThanOrEqual(now);
  });

  it('is made anew where it is lost, cut off, or asked to be good for another time', async () => {
    const { host, keys, publish, signature, verify } = await published();
    await publish([head(b, a)], [delta(a, b)]);
    const renew = (validDays = 90) => renewSignature(host, { keys, validDays, now });
    writeFileSync(signature(), readFileSync(signature()).subarray(0, 20));
    expect(await renew()).toBeDefined();
    expect(await renew()).toBeUndefined();
    expect(await renew(30)).toBe(verify().expires);
    expect(verify().expires - verify().made).toBe(30 * day);
  });

  it('is not made where there is no index', async () => {
    const { host, keys, directory } = await published();
    expect(await renewSignature(host, { keys, validDays: 90, now })).toBeUndefined();
    expect(existsSync(directory)).toBe(false);
  });
});
