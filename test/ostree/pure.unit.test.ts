import { describe, expect, it } from 'vitest';
import { nextVersion } from '../../src/ostree/commit.ts';
import { planDeltas } from '../../src/ostree/plan-deltas.ts';
import { parseShownCommit } from '../../src/ostree/repository.ts';
import { commitOf } from '../helpers/trees.ts';

const epoch = Date.UTC(2025, 10, 4, 23, 59, 59) / 1000;

describe('the next version', () => {
  it.each([
    [undefined, '20251104.0'],
    ['20251103.7', '20251104.0'],
    ['20251104.0', '20251104.1'],
    ['20251104.9', '20251104.10'],
    ['20251230.2', '20251230.3'],
  ])('behind %s is %s', (previous, next) => {
    expect(nextVersion(epoch, previous)).toBe(next);
  });
});

describe('what ostree shows of a commit', () => {
  const shown = `commit 39d4bf3bd26b9c14e74fb9b5bd8aa1f22bdb1ab4f1ab4c6f2fb4e4eee5ff2e47
Parent:  a88f8d81ba7d1d7d8b3f6d2c2a36d6c1c6fa7a9a7b3c8f0a4f9ad6bc3a5b6e01
ContentChecksum:  fd4bc56b2e1d4d3f
Date:  2025-11-04 00:00:01 +0000
Version: 20251104.1

    Parent:  not this one
    Version: neither
`;

  it('is its parent, version and time', () => {
    expect(parseShownCommit(shown)).toEqual({
      parent: 'a88f8d81ba7d1d7d8b3f6d2c2a36d6c1c6fa7a9a7b3c8f0a4f9ad6bc3a5b6e01',
      version: '20251104.1',
      timestamp: Date.UTC(2025, 10, 4, 0, 0, 1) / 1000,
    });
  });

  it('may lack parent and version', () => {
    const text = shown.replace(/^Parent.*\n/m, '').replace(/^Version.*\n/m, '');
    expect(parseShownCommit(text)).toMatchObject({ parent: undefined, version: '' });
  });

  it('may be in another time zone', () => {
    expect(parseShownCommit('Date:  2025-11-04 02:00:01 +0200\n').timestamp).toBe(
      Date.UTC(2025, 10, 4, 0, 0, 1) / 1000,
    );
  });
});

describe('the deltas to make', () => {
  const [old, parent, id] = ['0', '1', '2'].map((digit) => digit.repeat(64)) as [string, string, string];
  const commit = commitOf({ id, parent });
  const made = (from: string | null, to = id) => ({ from, to });

  it.each<[string, Parameters<typeof planDeltas>, (string | undefined)[]]>([
    [
      'a first commit that nobody was offered needs none',
      [commitOf({ id }), { offered: undefined, existing: [] }],
      [],
    ],
    ['a first commit that is offered needs none', [commitOf({ id }), { offered: id, existing: [] }], []],
    ['from the parent and from nothing', [commit, { offered: undefined, existing: [] }], [parent, undefined]],
    ['from what was offered too', [commit, { offered: old, existing: [] }], [parent, old, undefined]],
    [
      'from the parent once where it was what was offered',
      [commit, { offered: parent, existing: [] }],
      [parent, undefined],
    ],
    ['not those that exist', [commit, { offered: old, existing: [made(parent), made(null)] }], [old]],
    ['none where all exist', [commit, { offered: id, existing: [made(parent), made(null)] }], []],
    [
      'those that exist to another commit do not count',
      [commit, { offered: parent, existing: [made(parent, old), made(null, parent)] }],
      [parent, undefined],
    ],
    [
      'a commit without parent from what was offered',
      [commitOf({ id }), { offered: old, existing: [] }],
      [old, undefined],
    ],
  ])('%s', (_title, [to, facts], from) => {
    expect(planDeltas(to, facts)).toEqual(from.map((start) => ({ from: start, to })));
  });
});
