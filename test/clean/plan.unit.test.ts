import { describe, expect, it } from 'vitest';
import type { CommitFacts, Policy, Thing } from '../../src/clean/plan.ts';
import { commitsThatStay, goes } from '../../src/clean/plan.ts';

const day = 86_400;
const now = 1000 * day;
const daysAgo = (days: number): number => now - days * day;
const policy = (parts: Partial<Policy> = {}): Policy => ({ days: 30, all: false, now, ...parts });

const thing = (parts: Partial<Thing>): Thing => ({
  kind: 'packages',
  name: '/w/.treeline/cache/packages/x.deb',
  bytes: 1,
  lastUsed: daysAgo(100),
  needed: false,
  ...parts,
});

describe('what is kept to be quick', () => {
  it.each<[string, Partial<Thing>, Partial<Policy>, boolean]>([
    ['goes when it was not used for so many days', { lastUsed: daysAgo(30) }, {}, true],
    ['stays when it was', { lastUsed: daysAgo(29) }, {}, false],
    ['stays at any age where an image is made of it', { needed: true }, {}, false],
    ['stays at any age where an image is made of it, with --days 0', { needed: true }, { days: 0 }, false],
    ['goes at once with --days 0', { lastUsed: now }, { days: 0 }, true],
    ['goes with --all, needed and new', { needed: true, lastUsed: now }, { all: true }, true],
  ])('%s', (_, parts, rules, expected) => {
    expect(goes(thing(parts), policy(rules))).toBe(expected);
  });
});

/** A history of one ref, `h0` the head, each commit made ten days before the next. */
const history = ['h0', 'h1', 'h2', 'h3', 'h4', 'h5'];
const facts = (parts: Partial<CommitFacts> = {}): CommitFacts => ({
  stored: history.map((id, index) => ({ id, made: daysAgo(10 * index + 5) })),
  roots: ['h0'],
  histories: [history],
  named: new Set(),
  remembered: new Set(),
  deltas: 1,
  ...parts,
});
const staying = (parts: Partial<CommitFacts>, rules: Partial<Policy> = {}): string[] =>
  [...commitsThatStay(facts(parts), policy(rules))].toSorted();

describe('a commit stays', () => {
  it('until it has been superseded for so many days', () => {
    // h3 was superseded by h2, 25 days ago; h4 by h3, 35 days ago.
    expect(staying({})).toEqual(['h0', 'h1', 'h2', 'h3']);
  });

  it.each([
    [1, ['h0', 'h1']],
    [3, ['h0', 'h1', 'h2', 'h3']],
  ])('where deltas from the last %d may start from it, whatever its age', (deltas, expected) => {
    expect(staying({ deltas }, { days: 0 })).toEqual(expected);
    expect(staying({ deltas }, { all: true })).toEqual(expected);
  });

  it('where a release or the update index names it', () => {
    expect(staying({ named: new Set(['h5']) }, { all: true })).toEqual(['h0', 'h1', 'h5']);
  });

  it('where a ref leads to it that stays', () => {
    const stored = [...facts().stored, { id: 'package', made: daysAgo(300) }];
    expect(staying({ stored, roots: ['h0', 'package'] }, { days: 0 })).toContain('package');
    expect(staying({ stored }, { days: 0 })).not.toContain('package');
  });

  it('where it was never published, as long as it is new, or what it was made of is remembered', () => {
    const stored = [...facts().stored, { id: 'new', made: daysAgo(1) }, { id: 'old', made: daysAgo(40) }];
    expect(staying({ stored })).toEqual(['h0', 'h1', 'h2', 'h3', 'new']);
    expect(staying({ stored, remembered: new Set(['old']) })).toContain('old');
    expect(staying({ stored, remembered: new Set(['new', 'old']) }, { all: true })).toEqual(['h0', 'h1']);
  });

  it('only where it is there', () => {
    expect(staying({ named: new Set(['gone']) })).not.toContain('gone');
  });
});
