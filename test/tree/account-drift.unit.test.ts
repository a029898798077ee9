import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { layerFileSchema } from '../../src/recipe/layer-file.ts';
import { compareAccounts, driftError, freePins } from '../../src/tree/account-drift.ts';
import { parseAccounts } from '../../src/tree/account-files.ts';
import type { StatedAccounts } from '../../src/tree/account-pins.ts';
import { formatPins, formatPinsInline } from '../../src/tree/account-pins.ts';
import { commitOf } from '../helpers/trees.ts';

const nothingStated: StatedAccounts = { users: [], groups: [], origins: new Map() };

/** `name:uid:gid …` and `name:gid:members …` */
function accounts(users: string, groups: string) {
  const words = (text: string): string[][] => text.split(' ').map((word) => word.split(':'));
  return parseAccounts({
    passwd: words(users)
      .map(([name, uid, gid]) => `${name}:x:${uid}:${gid}:The ${name}:/var/${name}:/sbin/nologin\n`)
      .join(''),
    group: words(groups)
      .map(([name, gid, members = '']) => `${name}:x:${gid}:${members}\n`)
      .join(''),
  });
}

describe('passwd and group', () => {
  it('are read by name, malformed lines left out', () => {
    const passwd =
      'root:x:0:0:root:/root:/bin/sh\n\n# no\n:x:1:1::/:\nbad\nbad:x::1:::\nbad:x:1:-1:::\nbad:x:0x1:1:::\nshort:x:7:8\n';
    const group = 'root:x:0:\r\nwheel:x:10:root,ann\n\n+\nbad:x:ten:\nbare:x:11\n';
    const { users, groups } = parseAccounts({ passwd, group });
    expect([...users.values()].toSorted((a, b) => a.uid - b.uid)).toEqual([
      { name: 'root', uid: 0, gid: 0, gecos: 'root', home: '/root', shell: '/bin/sh' },
      { name: 'short', uid: 7, gid: 8, gecos: '', home: '', shell: '' },
    ]);
    expect([...groups.values()].toSorted((a, b) => a.gid - b.gid)).toEqual([
      { name: 'root', gid: 0, members: [] },
      { name: 'wheel', gid: 10, members: ['root', 'ann'] },
      { name: 'bare', gid: 11, members: [] },
    ]);
  });

  it('count the first record of a name, as the C library does', () => {
    const { users } = parseAccounts({ passwd: 'a:x:1:1:::\na:x:2:2:::\n', group: '' });
    expect(users.get('a')!.uid).toBe(1);
  });
});

describe('the comparison', () => {
  const before = accounts('root:0:0 web:100:100 log:101:4', 'root:0 adm:4 web:100');

  it('finds nothing where ids stay, names come and names go', () => {
    const after = accounts('root:0:0 new:102:102 log:101:4', 'root:0 adm:4:log new:102');
    expect(compareAccounts(before, after)).toEqual({ drifted: [], reused: [] });
    expect(compareAccounts(parseAccounts({ passwd: '', group: '' }), after)).toEqual({
      drifted: [],
      reused: [],
    });
  });

  it('finds uids, gids and primary groups that changed', () => {
    const after = accounts('root:0:0 web:103:100 log:101:5', 'root:0 adm:4 web:104');
    expect(compareAccounts(before, after).drifted).toEqual(
      expect.arrayContaining([
        { kind: 'user', name: 'web', changes: [{ id: 'uid', before: 100, after: 103 }] },
        { kind: 'user', name: 'log', changes: [{ id: 'gid', before: 4, after: 5 }] },
        { kind: 'group', name: 'web', changes: [{ id: 'gid', before: 100, after: 104 }] },
      ]),
    );
    expect(compareAccounts(before, after).drifted).toHaveLength(3);
  });

  it('finds two names that exchanged their ids', () => {
    const after = accounts('root:0:0 web:101:100 log:100:4', 'root:0 adm:4 web:100');
    const { drifted, reused } = compareAccounts(before, after);
    expect(drifted.map(({ name }) => name).toSorted()).toEqual(['log', 'web']);
    expect(reused).toEqual([]);
  });

  it('finds ids of names that are gone at new names', () => {
    const after = accounts('root:0:0 db:100:100 log:101:4', 'root:0 adm:4 db:100');
    expect(compareAccounts(before, after)).toEqual({
      drifted: [],
      reused: [
        { kind: 'user', id: 100, before: 'web', after: 'db' },
        { kind: 'group', id: 100, before: 'web', after: 'db' },
      ],
    });
  });

  it('does not take a second name of an id for a new owner', () => {
    const two = accounts('root:0:0 toor:0:0', 'root:0');
    expect(compareAccounts(two, accounts('toor:0:0', 'root:0')).reused).toEqual([]);
    expect(compareAccounts(two, accounts('root:0:0 admin:0:0', 'root:0')).reused).toEqual([
      { kind: 'user', id: 0, before: 'toor', after: 'admin' },
    ]);
  });
});

describe('the error for a name with another id', () => {
  const error = (users: [string, string], groups: [string, string], stated = nothingStated) => {
    const [before, after] = [accounts(users[0], groups[0]), accounts(users[1], groups[1])];
    const { drifted } = compareAccounts(before, after);
    return driftError(drifted, {
      ref: 'treeline/alpine-3.19/x86_64/vm',
      head: commitOf(),
      before,
      after,
      stated,
    });
  };
  const pins = (hint: string | undefined): unknown => {
    const [words = '', ...lines] = hint!.split('\n');
    expect(words).toContain('docs/layers.md');
    return layerFileSchema.parse(parse(lines.join('\n')));
  };

  it('lists every name with both ids, the ref and the commit before it', () => {
    const { code, message } = error(
      ['web:100:100 log:101:4', 'web:105:106 log:101:4'],
      ['adm:4 web:100', 'adm:7 web:106'],
    );
    expect(code).toBe('recipe');
    expect(message.split('\n')).toEqual([
      expect.stringContaining(
        'Cannot commit treeline/alpine-3.19/x86_64/vm: users or groups have other ids than in its commit 20251104.0 (cccccccccccc)',
      ),
      '  user web: uid 105, was 100; gid 106, was 100',
      expect.stringMatching(/^ {2}group (adm: gid 7, was 4|web: gid 106, was 100)$/),
      expect.stringMatching(/^ {2}group (adm: gid 7, was 4|web: gid 106, was 100)$/),
    ]);
  });

  it('says the lines of layer.yaml that keep the old ids, with the primary group', () => {
    const { hint } = error(['web:100:33', 'web:105:34'], ['www:33:web,log', 'www:34:web,log']);
    expect(pins(hint)).toEqual({
      users: [
        { name: 'web', uid: 100, group: 'www', home: '/var/web', shell: '/sbin/nologin', gecos: 'The web' },
      ],
      groups: [{ name: 'www', gid: 33, members: ['web'] }],
    });
  });

  it('says the primary group too where it did not change, unless a layer states it', () => {
    const users: [string, string] = ['web:100:33', 'web:105:33'];
    const groups: [string, string] = ['www:33', 'www:33'];
    expect(pins(error(users, groups).hint)).toMatchObject({ groups: [{ name: 'www', gid: 33 }] });
    const stated = { ...nothingStated, groups: [{ name: 'www', gid: 33, members: [] }] };
    expect(pins(error(users, groups, stated).hint)).not.toHaveProperty('groups');
  });

  it('says where a layer states the id; a line without the password that stands there is refused', () => {
    const user = {
      name: 'ann',
      uid: 1001,
      group: 'ann',
      home: '/home/ann',
      shell: '/bin/sh',
      gecos: '',
      password: '$6$a$b',
    };
    const origin = { layer: '/mine', file: '/mine/layer.yaml', line: 3 };
    const { message, hint } = error(['ann:1000:1000', 'ann:1001:1000'], ['ann:1000', 'ann:1000'], {
      users: [user],
      groups: [{ name: 'ann', gid: 1000, members: [] }],
      origins: new Map([['users.ann', origin]]),
    });
    expect(message).toContain('user ann: uid 1001, was 1000 (stated in /mine/layer.yaml:3)');
    expect(hint).not.toContain('$6$');
    const parsed: unknown = parse(hint!.split('\n').slice(1).join('\n'));
    expect(parsed).toMatchObject({ users: [{ password: 'as in /mine/layer.yaml' }] });
    expect(layerFileSchema.safeParse(parsed).success).toBe(false);
  });
});

describe('free ids', () => {
  it('are those that nobody had or has, one for user and group of the same name', () => {
    const before = accounts('web:100:100 a:200:200', 'web:100 a:200');
    const after = accounts('db:100:100 b:201:201', 'db:100 b:201');
    const { reused } = compareAccounts(before, after);
    const pins = freePins(reused, { before, after, stated: nothingStated });
    expect(pins).toEqual({
      users: [{ name: 'db', uid: 202, home: '/var/db', shell: '/sbin/nologin', gecos: 'The db' }],
      groups: [{ name: 'db', gid: 202 }],
    });
    expect(layerFileSchema.parse(parse(formatPins(pins)))).toEqual(pins);
    expect(formatPinsInline(pins)).toBe(
      'users: [ { name: db, uid: 202, home: /var/db, shell: /sbin/nologin, gecos: The db } ]; groups: [ { name: db, gid: 202 } ]',
    );
  });
});
