import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  readFileSync,
  readlinkSync,
  readdirSync,
  realpathSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { mergeUsr } from '../../src/tree/usr-merge.ts';
import { errorOf, temporaryDirectory } from '../helpers/host.ts';
import { layFiles } from '../helpers/trees.ts';

type Layout = Parameters<typeof layFiles>[1];

/** A root with these files, merged, and what stands in a file or link of it. */
async function merged(layout: Layout, prepare: (root: string) => void = () => {}) {
  const root = layFiles(temporaryDirectory(), layout);
  prepare(root);
  await mergeUsr(root);
  const at = (path: string): string => {
    const stat = lstatSync(join(root, path));
    return stat.isSymbolicLink()
      ? `→ ${readlinkSync(join(root, path))}`
      : readFileSync(join(root, path), 'utf8');
  };
  return { root, at, mode: (path: string) => (lstatSync(join(root, path)).mode & 0o7777).toString(8) };
}

const refusalOf = async (layout: Layout, prepare: (root: string) => void = () => {}) => {
  const root = layFiles(temporaryDirectory(), layout);
  prepare(root);
  return errorOf(mergeUsr(root));
};

describe('merging /usr', () => {
  it('moves what lies at the root, and leaves none of the directories', async () => {
    const { root, at } = await merged({
      'bin/sh': 'sh',
      'sbin/init': 'init',
      'lib/libc.so': 'libc',
      'lib64/ld.so': 'ld',
      'home/ann/note': 'note',
      'opt/x': 'x',
      'srv/www': 'www',
      'etc/passwd': 'passwd',
      'usr/bin/env': 'env',
      mnt: null,
      media: null,
    });
    expect(readdirSync(root).toSorted()).toEqual(['etc', 'usr', 'var']);
    expect(readdirSync(join(root, 'usr/bin')).toSorted()).toEqual(['env', 'sh']);
    expect([at('usr/sbin/init'), at('usr/lib/libc.so'), at('usr/lib64/ld.so')]).toEqual([
      'init',
      'libc',
      'ld',
    ]);
    expect([at('var/home/ann/note'), at('var/opt/x'), at('var/srv/www'), at('etc/passwd')]).toEqual([
      ...['note', 'x', 'www', 'passwd'],
    ]);
    expect([existsSync(join(root, 'var/mnt')), existsSync(join(root, 'var/media'))]).toEqual([true, true]);
  });

  it('merges directories of one name, however deep', async () => {
    const { at } = await merged({
      'lib/a/b/one': '1',
      'usr/lib/a/b/two': '2',
      'lib/a/three': '3',
      'lib/only/four': '4',
    });
    expect(['a/b/one', 'a/b/two', 'a/three', 'only/four'].map((path) => at(`usr/lib/${path}`))).toEqual([
      ...['1', '2', '3', '4'],
    ]);
  });

  it('keeps the modes of files and directories: the home of root is closed', async () => {
    const { mode } = await merged({ 'root/.profile': '', 'bin/tool': '', 'lib/secret/x': '' }, (root) => {
      chmodSync(join(root, 'root'), 0o700);
      chmodSync(join(root, 'bin/tool'), 0o4755);
      chmodSync(join(root, 'lib/secret'), 0o750);
    });
    expect([mode('var/roothome'), mode('usr/bin/tool'), mode('usr/lib/secret')]).toEqual([
      '700',
      '4755',
      '750',
    ]);
  });

  it('keeps hard links', async () => {
    const { root } = await merged({ 'bin/one': 'x', 'usr/bin/other': 'y' }, (where) => {
      linkSync(join(where, 'bin/one'), join(where, 'bin/two'));
      linkSync(join(where, 'bin/one'), join(where, 'usr/bin/three'));
    });
    const inodes = ['one', 'two', 'three'].map((name) => lstatSync(join(root, 'usr/bin', name)).ino);
    expect(new Set(inodes).size).toBe(1);
  });

  it('leaves a root that is merged already as it is, but for the links at its top', async () => {
    const { root, at } = await merged({
      'usr/bin/sh': 'sh',
      'usr/lib/x': { link: '../bin/sh' },
      bin: { link: 'usr/bin' },
      lib: { link: '/usr/lib' },
      lib64: { link: 'usr/lib' },
      home: { link: 'var/home' },
    });
    expect(readdirSync(root)).toEqual(['usr']);
    expect([at('usr/bin/sh'), at('usr/lib/x')]).toEqual(['sh', '→ ../bin/sh']);
  });

  it('does nothing to an empty root', async () => {
    expect(readdirSync((await merged({ etc: null })).root)).toEqual(['etc']);
  });
});

describe('links', () => {
  it('lead where they led, whether they are relative or absolute', async () => {
    const { root, at } = await merged({
      'bin/busybox': 'busybox',
      'bin/ls': { link: '/bin/busybox' },
      'bin/cat': { link: 'busybox' },
      'sbin/init': { link: '../bin/busybox' },
      'usr/bin/env': { link: '../../bin/busybox' },
      'etc/target': 'target',
      'root/to-etc': { link: '../etc/target' },
      'root/to-bin': { link: '../bin/busybox' },
      'home/ann/deep/to-etc': { link: '../../../etc/target' },
      'home/ann/beside': { link: 'deep/to-etc' },
    });
    expect([at('usr/bin/ls'), at('usr/bin/cat')]).toEqual(['→ /bin/busybox', '→ busybox']);
    expect(at('usr/sbin/init')).toBe('→ ../bin/busybox');
    const goal = (path: string): string => {
      // As in the running system, where the links at the root are.
      const text = readlinkSync(join(root, path))
        .replace(/(^|\/)bin\//, '$1usr/bin/')
        .replace('usr/usr/', 'usr/');
      return realpathSync(join(root, dirname(path), text)).slice(realpathSync(root).length + 1);
    };
    expect(goal('var/roothome/to-etc')).toBe('etc/target');
    expect(goal('var/roothome/to-bin')).toBe('usr/bin/busybox');
    expect(goal('var/home/ann/deep/to-etc')).toBe('etc/target');
    expect(at('var/home/ann/beside')).toBe('→ deep/to-etc');
  });

  it('that climb above the root lead where the root’s own .. leads', async () => {
    const { at } = await merged({
      'root/high': { link: '../../../../../../../../etc/passwd' },
      'bin/high': { link: '../../../etc/passwd' },
      'root/self': { link: '../root' },
    });
    expect([at('var/roothome/high'), at('usr/bin/high'), at('var/roothome/self')]).toEqual([
      '→ ../../../../../../../../etc/passwd',
      '→ ../../../etc/passwd',
      '→ .',
    ]);
  });

  it('between both places of one name give way to the file', async () => {
    const { at } = await merged({
      'lib/one': 'one',
      'usr/lib/one': { link: '../../lib/one' },
      'usr/lib/two': 'two',
      'lib/two': { link: '../usr/lib/two' },
      'usr/lib/three': 'three',
      'lib/three': { link: '/usr/lib/three' },
      'lib/dir/x': 'x',
      'usr/lib/dir': { link: '/lib/dir' },
      'usr/lib/other/y': 'y',
      'lib/other': { link: '../usr/lib/other/' },
    });
    expect(['one', 'two', 'three', 'dir/x', 'other/y'].map((name) => at(`usr/lib/${name}`))).toEqual([
      ...['one', 'two', 'three', 'x', 'y'],
    ]);
  });

  it('of busybox give way to the program itself, in either place', async () => {
    const { at } = await merged({
      'bin/busybox': 'busybox',
      'bin/mount': 'mount',
      'usr/bin/mount': { link: '/bin/busybox' },
      'bin/wget': { link: '/bin/busybox' },
      'usr/bin/wget': 'wget',
      'bin/su': { link: '/bin/bbsuid' },
      'usr/bin/su': 'su',
      'bin/both': { link: '/bin/busybox' },
      'usr/bin/both': { link: '../../bin/busybox' },
    });
    expect([at('usr/bin/mount'), at('usr/bin/wget'), at('usr/bin/su'), at('usr/bin/both')]).toEqual([
      ...['mount', 'wget', 'su', '→ /bin/busybox'],
    ]);
  });

  it('to one place in both give one', async () => {
    const { at } = await merged({ 'bin/a': { link: '/etc/a' }, 'usr/bin/a': { link: '../../etc/a' } });
    expect(at('usr/bin/a')).toBe('→ ../../etc/a');
  });
});

describe('files of one name in both places', () => {
  it('that are the same become one', async () => {
    const { at, root } = await merged({ 'lib/x': 'same', 'usr/lib/x': 'same' });
    expect([at('usr/lib/x'), existsSync(join(root, 'lib'))]).toEqual(['same', false]);
  });

  it.each<[string, Layout]>([
    ['two contents', { 'lib/x': 'one', 'usr/lib/x': 'other' }],
    ['a file and a directory', { 'lib/x': 'one', 'usr/lib/x/y': 'other' }],
    ['a directory and a file', { 'lib/x/y': 'one', 'usr/lib/x': 'other' }],
    ['links to two places', { 'lib/x': { link: '/etc/one' }, 'usr/lib/x': { link: '/etc/other' } }],
    ['a file and a link elsewhere', { 'lib/x': 'one', 'usr/lib/x': { link: '/etc/other' } }],
    ['a directory and a link elsewhere', { 'lib/x/y': 'one', 'usr/lib/x': { link: '/etc' } }],
  ])('are refused: %s', async (_, layout) => {
    const error = await refusalOf(layout);
    expect(error.code).toBe('package');
    expect(error.message).toBe('Cannot merge /lib/x into /usr/lib/x: packages brought both, and they differ');
    expect(error.hint).toContain('exclude');
  });

  it('are refused where the modes alone differ', async () => {
    const error = await refusalOf({ 'bin/x': 'same', 'usr/bin/x': 'same' }, (root) =>
      chmodSync(join(root, 'bin/x'), 0o4755),
    );
    expect(error.message).toContain('Cannot merge /bin/x');
  });
});

it.each(['usr', 'var'])(
  'a link in place of /%s is refused, and nothing moves to where it leads',
  async (name) => {
    const outside = layFiles(temporaryDirectory(), { bin: null, kept: '' });
    const error = await refusalOf({ 'bin/tool': 'x', 'root/.profile': 'x', [name]: { link: outside } });
    expect(error.code).toBe('package');
    expect(error.message).toBe(`Cannot use the packages’ /${name}: it must be a directory`);
    expect(readdirSync(outside, { recursive: true }).toSorted()).toEqual(['bin', 'kept']);
  },
);
