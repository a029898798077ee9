import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { resolveInTree } from '../../src/tree/paths.ts';
import { errorOf, temporaryDirectory } from '../helpers/host.ts';
import { layFiles } from '../helpers/trees.ts';

const tree = (): string =>
  layFiles(temporaryDirectory(), {
    'usr/lib/file': '',
    lib: { link: 'usr/lib' },
    absolute: { link: '/usr/lib' },
    escape: { link: '../../../../usr/lib' },
    'usr/up': { link: '../../lib' },
    'loop-a': { link: 'loop-b' },
    'loop-b': { link: '/loop-a' },
    host: { link: '/etc' },
    chain: { link: 'absolute/../lib' },
  });

describe('where a path of the tree really lies', () => {
  it.each([
    ['usr/lib/file', 'usr/lib/file'],
    ['/usr/lib/file', 'usr/lib/file'],
    ['lib/file', 'usr/lib/file'],
    ['absolute/file', 'usr/lib/file'],
    ['escape/file', 'usr/lib/file'],
    ['usr/up/file', 'usr/lib/file'],
    ['chain/file', 'usr/lib/file'],
    ['host/passwd', 'etc/passwd'],
    ['../../etc/passwd', 'etc/passwd'],
    ['usr/../../../etc/passwd', 'etc/passwd'],
    ['./usr/./lib//file', 'usr/lib/file'],
    ['absent/below/file', 'absent/below/file'],
    ['lib', 'lib'],
  ])('%s is %s', async (path, real) => {
    const root = tree();
    expect(await resolveInTree(root, path)).toBe(join(root, real));
  });

  it.each([
    ['lib', 'usr/lib'],
    ['absolute', 'usr/lib'],
    ['escape', 'usr/lib'],
    ['host', 'etc'],
  ])('%s is %s where the last component is followed too', async (path, real) => {
    const root = tree();
    expect(await resolveInTree(root, path, 'follow')).toBe(join(root, real));
  });

  it('a loop of links is refused', async () => {
    const error = await errorOf(resolveInTree(tree(), 'loop-a/file'));
    expect(error.code).toBe('recipe');
    expect(error.message).toBe('Cannot place /loop-a/file in the tree: too many levels of symlinks');
  });
});
