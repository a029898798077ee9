import { describe, expect, it } from 'vitest';
import type { RootlessFacts } from '../../src/host/rootless.ts';
import { appArmorLack, findLacks } from '../../src/host/rootless.ts';
import { findRange, freeRange, parseSubordinateIds } from '../../src/host/subordinate-ids.ts';
import { packageManager } from '../../src/host/tools.ts';

const ann = { name: 'ann', uid: 1000 };
const enough = { owner: 'ann', first: 100_000, count: 65_536 };
const others = { owner: 'bob', first: 165_536, count: 65_536 };

describe('subordinate ids', () => {
  it('are read line by line; comments, empty lines and what is no range are left out', () => {
    const text = ['ann:100000:65536', '', '# bob:1:2', 'carl', 'dora:x:1', ':1:2', '1001:165536:70000 '].join(
      '\n',
    );
    expect(parseSubordinateIds(text)).toEqual([enough, { owner: '1001', first: 165_536, count: 70_000 }]);
    expect(parseSubordinateIds('')).toEqual([]);
  });

  it('belong to a user by name or by number', () => {
    expect(findRange([others, enough], ann)).toEqual(enough);
    const byNumber = { ...enough, owner: '1000' };
    expect(findRange([others, byNumber], ann)).toEqual(byNumber);
    expect(findRange([others], ann)).toBeUndefined();
  });

  it('are enough in one range of 65536 only', () => {
    const few = { ...enough, count: 65_535 };
    expect(findRange([few], ann)).toBeUndefined();
    expect(findRange([few, { ...enough, first: 300_000 }], ann)).toMatchObject({ first: 300_000 });
  });

  it('are free behind those of everybody', () => {
    expect(freeRange([])).toBe(100_000);
    expect(freeRange([others, enough])).toBe(231_072);
    expect(freeRange([{ owner: 'root', first: 1, count: 10 }])).toBe(100_000);
  });
});

describe('what a machine lacks for an ordinary user', () => {
  it('is nothing where programs, ranges and kernel are there', () => {
    expect(findLacks(facts({}))).toEqual([]);
    expect(findLacks(facts({ settings: { 'user.max_user_namespaces': '15000' } }))).toEqual([]);
  });

  it('is named all at once, each with the command that mends it', () => {
    const settings = { 'kernel.unprivileged_userns_clone': '0', 'user.max_user_namespaces': '0' };
    const lacks = findLacks(facts({ missingPackages: ['uidmap'], users: [others], groups: [], settings }));
    const install = packageManager() === 'apk' ? 'apk add' : 'apt-get install';
    expect(lacks.map(({ command }) => command)).toEqual([
      `${install} uidmap`,
      'usermod --add-subuids 231072-296607 --add-subgids 231072-296607 ann',
      'echo kernel.unprivileged_userns_clone=1 > /etc/sysctl.d/60-kernel.unprivileged_userns_clone.conf && sysctl --system',
      'echo user.max_user_namespaces=15000 > /etc/sysctl.d/60-user.max_user_namespaces.conf && sysctl --system',
    ]);
    expect(lacks.map(({ what }) => what)).toEqual([
      'newuidmap and newgidmap (package uidmap)',
      '65536 ids for ann in /etc/subuid and /etc/subgid',
      'user namespaces for ordinary users (kernel.unprivileged_userns_clone is 0)',
      'user namespaces for ordinary users (user.max_user_namespaces is 0)',
    ]);
  });

  it('is one file alone where only that has no range for him', () => {
    const [lack, ...rest] = findLacks(facts({ groups: [others] }));
    expect(rest).toEqual([]);
    expect(lack).toEqual({
      what: '65536 ids for ann in /etc/subgid',
      command: 'usermod --add-subgids 231072-296607 ann',
    });
  });

  it('may be AppArmor’s leave, which is known only where a namespace has no rights', () => {
    const settings = { 'kernel.apparmor_restrict_unprivileged_userns': '1' };
    expect(findLacks(facts({ settings }))).toEqual([]);
    expect(appArmorLack(facts({ settings }))).toEqual([
      expect.objectContaining({
        command: expect.stringContaining('kernel.apparmor_restrict_unprivileged_userns=0'),
      }),
    ]);
    expect(appArmorLack(facts({}))).toEqual([]);
  });
});

function facts({
  settings = {},
  ...parts
}: Partial<Omit<RootlessFacts, 'setting'>> & { settings?: Record<string, string> }): RootlessFacts {
  const setting = (name: string): string | undefined => settings[name];
  return { user: ann, missingPackages: [], users: [enough], groups: [enough], ...parts, setting };
}
