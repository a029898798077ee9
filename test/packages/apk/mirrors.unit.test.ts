import { expect, it } from 'vitest';
import { mirrorsOf } from '../../../src/packages/apk/repositories.ts';
import { recipe } from '../../helpers/trees.ts';

const mirrorsFor = (...mirrors: string[]): readonly string[] =>
  mirrorsOf(recipe(), { mirrors, offline: false, refresh: false });

it('mirrors are URLs and directories; a file URL is a directory', () => {
  const urls = ['https://mirror.example.org/alpine', 'http://127.0.0.1:8080/a'];
  expect(mirrorsFor(...urls, '/srv/alpine', 'file:///srv/my%20mirror')).toEqual([
    ...urls,
    '/srv/alpine',
    '/srv/my mirror',
  ]);
});

it.each([
  ['deb http://mirror.example.org/debian bookworm main', 'a line of sources.list is for the base debian'],
  ['ftp://mirror.example.org/alpine', 'it is no address of a mirror'],
  ['file://mirror/alpine', 'it is no address of a mirror'],
  ['https://', 'it is no address of a mirror'],
])('%s is refused', (mirror, reason) => {
  expect(() => mirrorsFor(mirror)).toThrow(
    expect.objectContaining({ code: 'usage', message: `Cannot use the mirror ${mirror}: ${reason}` }),
  );
});
