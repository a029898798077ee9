import { describe, expect, it } from 'vitest';
import type { Commit } from '../../src/model.ts';
import { nextVersion } from '../../src/ostree/commit.ts';
import { parseKeys } from '../../src/ostree/gpg.ts';
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
  const [oldest, old, parent, commit] = ['0', '1', '2', '3'].map((digit) =>
    commitOf({ id: digit.repeat(64) }),
  ) as [Commit, Commit, Commit, Commit];
  const made = (from: Commit | undefined, to = commit) => ({ from: from?.id ?? null, to: to.id });
  const none = { before: [], offered: undefined, existing: [] };

  it.each<[string, Parameters<typeof planDeltas>[1], (Commit | undefined)[]]>([
    ['a first commit that nobody was offered needs none', none, []],
    ['a first commit that is offered needs none', { ...none, offered: commit }, []],
    ['from the release before and from nothing', { ...none, before: [parent] }, [parent, undefined]],
    [
      'from each of the last releases',
      { ...none, before: [parent, old, oldest] },
      [parent, old, oldest, undefined],
    ],
    ['from what was offered too', { ...none, before: [parent], offered: old }, [parent, old, undefined]],
    [
      'from a release once where it was what was offered',
      { ...none, before: [parent], offered: parent },
      [parent, undefined],
    ],
    [
      'not those that exist',
      { before: [parent], offered: old, existing: [made(parent), made(undefined)] },
      [old],
    ],
    [
      'none where all exist',
      { before: [parent], offered: commit, existing: [made(parent), made(undefined)] },
      [],
    ],
    [
      'only what is missing where more are wanted than before',
      { before: [parent, old], offered: commit, existing: [made(parent), made(undefined)] },
      [old],
    ],
    [
      'those that exist to another commit do not count',
      { before: [parent], offered: parent, existing: [made(parent, old), made(undefined, parent)] },
      [parent, undefined],
    ],
    ['a commit without a past from what was offered', { ...none, offered: old }, [old, undefined]],
  ])('%s', (_title, facts, from) => {
    expect(planDeltas(commit, facts)).toEqual(from.map((start) => ({ from: start, to: commit })));
  });
});

describe('what gpg lists', () => {
  const listed = `sec:u:255:22:7A394CC7699B7CC6:1795308053:::u:::scESC:::+:::23::0:
fpr:::::::::62BCA80B8A2FCAE8D96928787A394CC7699B7CC6:
grp:::::::::AF0E7B7A7F0F5B6E4E3C39E4E07D0D27B7C1A3D6:
uid:u::::1795308053::0E0D1C::One <one@example.org>::::::::::0:
uid:u::::1795308053::0E0D1D::Uno <uno@example.org>::::::::::0:
ssb:u:255:18:1111111111111111:1795308053::::::e:::+:::23:
fpr:::::::::1111111111111111111111111111111111111111:
sec:e:255:22:81C2C3CEEA7446E7:1595308053:1600000000::u:::c:::#:::23::0:
fpr:::::::::C0F5C6C0314F7F0AB980AF0481C2C3CEEA7446E7:
`;

  it('is each primary key with its names, whether it may sign, and whether its time is over', () => {
    expect(parseKeys(listed)).toEqual([
      {
        fingerprint: '62BCA80B8A2FCAE8D96928787A394CC7699B7CC6',
        validity: 'u',
        created: 1_795_308_053,
        canSign: true,
        userIds: ['One <one@example.org>', 'Uno <uno@example.org>'],
      },
      {
        fingerprint: 'C0F5C6C0314F7F0AB980AF0481C2C3CEEA7446E7',
        validity: 'e',
        created: 1_595_308_053,
        canSign: false,
        userIds: [],
      },
    ]);
    expect(parseKeys('')).toEqual([]);
  });
});
