import { describe, expect, it } from 'vitest';
import { TreelineError } from '../../src/host/errors.ts';
import type { Release } from '../../src/model.ts';
import type { Selection } from '../../src/prove/plan.ts';
import { planProofs } from '../../src/prove/plan.ts';
import { manifestOf } from '../helpers/manifest.ts';

const vm = 'treeline/debian-12/x86_64/vm';
const lxc = 'treeline/debian-12/x86_64/lxc';
const alpine = 'treeline/alpine-v3.19/x86_64/vm';

const release = (ref: string, version: string): Release => ({
  directory: `/out/${ref}/${version}`,
  manifest: manifestOf({ ref, version, commit: `${ref} ${version}` }),
});

const all: Selection = { base: undefined, targets: [] };

const offering = (...releases: readonly Release[]) => ({
  refs: Object.fromEntries(releases.map(({ manifest: { ref, commit } }) => [ref, { commit }])),
});

const versions = (releases: readonly Release[]): string[] => releases.map(({ manifest }) => manifest.version);

describe('what is to be proved', () => {
  it('is the way from the release before the newest, and from the oldest one', () => {
    const newest = release(vm, '20260110.0');
    const kept = [release(vm, '20260109.0'), newest, release(vm, '20260109.10'), release(vm, '20260109.2')];
    const [plan, ...more] = planProofs(kept, { index: offering(newest), selection: all });
    expect(more).toEqual([]);
    expect(plan).toMatchObject({ ref: vm, target: 'vm', newest: { manifest: { version: '20260110.0' } } });
    expect(versions(plan!.from)).toEqual(['20260109.10', '20260109.0']);
  });

  it('is one way where both are the same release', () => {
    const [old, newest] = [release(vm, '20260109.0'), release(vm, '20260109.1')];
    const [plan] = planProofs([old, newest], { index: offering(newest), selection: all });
    expect(versions(plan!.from)).toEqual(['20260109.0']);
  });

  it('is nothing where one release is kept, whatever the index offers', () => {
    const [plan] = planProofs([release(vm, '20260109.0')], { index: { refs: {} }, selection: all });
    expect(plan).toMatchObject({ ref: vm, from: [] });
  });

  it.each<[string, Partial<Selection>, string[]]>([
    ['every image', {}, [lxc, vm, alpine]],
    ['those for the targets that are named', { targets: ['vm'] }, [vm, alpine]],
    ['those on the base that is named', { base: 'debian' }, [lxc, vm]],
    ['those on a release of the base', { base: 'debian-12' }, [lxc, vm]],
    ['none where none fits', { base: 'debian-1', targets: ['ovz'] }, []],
  ])('is %s', (_, selection, expected) => {
    const kept = [vm, alpine, lxc].map((ref) => release(ref, '20260109.0'));
    const plans = planProofs(kept, { index: { refs: {} }, selection: { ...all, ...selection } });
    expect(plans.map(({ ref }) => ref).toSorted()).toEqual(expected.toSorted());
  });

  it.each([
    ['nothing', { refs: {} }],
    ['an older one', offering(release(vm, '20260109.0'))],
  ])('is refused where the index offers %s', (_, index) => {
    const kept = [release(vm, '20260109.0'), release(vm, '20260109.1')];
    expect(() => planProofs(kept, { index, selection: all })).toThrow(TreelineError);
    expect(() => planProofs(kept, { index, selection: all })).toThrow(/20260109\.1: the update index offers/);
  });
});
