import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { busybox, busyboxInstalled, library } from './busybox.ts';

interface Accounts {
  passwd?: string;
  group?: string;
  shadow?: string;
}

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'treeline-accounts-'));
  mkdirSync(join(root, 'etc'));
  mkdirSync(join(root, 'usr/etc'), { recursive: true });
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const image: Required<Accounts> = {
  passwd: 'root:x:0:0:root:/root:/bin/sh\nntp:x:110:110::/var/empty:/sbin/nologin\n',
  group: 'root:x:0:\nadm:x:4:root\nntp:x:110:\n',
  shadow: 'root:*:1::::::\nntp:!:1::::::\n',
};
const machine: Required<Accounts> = {
  passwd: 'root:x:0:0:me:/root:/bin/zsh\nann:x:1000:1000::/home/ann:/bin/sh\n',
  group: 'root:x:0:\nadm:x:4:root,ann\nann:x:1000:\n',
  shadow: 'root:$6$secret:2::::::\nann:$6$hers:2::::::\n',
};

const put = (directory: string, files: Accounts): void => {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(root, directory, name), text);
};
const read = (name: keyof Accounts): string => readFileSync(join(root, 'etc', name), 'utf8');
const merge = () => busybox(['sh', join(library, 'merge-accounts'), root]);
/** What the merge adds to `here` where the image has `there`; both are complete but for what is given. */
const merged = (there: Accounts, here: Accounts = {}) => {
  put('usr/etc', { ...image, ...there });
  put('etc', { ...machine, ...here });
  const outcome = merge();
  return { ...outcome, passwd: read('passwd'), group: read('group'), shadow: read('shadow') };
};
const quiet = { status: 0, stdout: '', stderr: '' };

describe.skipIf(!busyboxInstalled)('merge-accounts (skipped where busybox is not installed)', () => {
  it('adds users and groups that are new in the image, and changes nothing that is there', () => {
    expect(merged({})).toEqual({
      ...quiet,
      passwd: `${machine.passwd}ntp:x:110:110::/var/empty:/sbin/nologin\n`,
      group: `${machine.group}ntp:x:110:\n`,
      shadow: `${machine.shadow}ntp:!:1::::::\n`,
    });
  });

  it('writes nothing where nothing is new', () => {
    merged({});
    const before = statSync(join(root, 'etc/passwd'));
    expect(merge()).toEqual(quiet);
    expect(statSync(join(root, 'etc/passwd'))).toMatchObject({ ino: before.ino, mtimeMs: before.mtimeMs });
    expect(readdirSync(join(root, 'etc')).toSorted()).toEqual(['group', 'passwd', 'shadow']);
  });

  it('keeps owner and mode of the files', () => {
    put('usr/etc', image);
    put('etc', machine);
    chmodSync(join(root, 'etc/shadow'), 0o640);
    chmodSync(join(root, 'etc/passwd'), 0o644);
    const owned = process.getuid?.() === 0;
    if (owned) chownSync(join(root, 'etc/shadow'), 0, 42);
    expect(merge()).toEqual(quiet);
    expect(read('shadow')).toContain('ntp:');
    expect(statSync(join(root, 'etc/shadow')).mode & 0o7777).toBe(0o640);
    expect(statSync(join(root, 'etc/passwd')).mode & 0o7777).toBe(0o644);
    if (owned) expect(statSync(join(root, 'etc/shadow'))).toMatchObject({ uid: 0, gid: 42 });
  });

  it('makes a shadow file that is missing, as private as the image’s', () => {
    put('usr/etc', image);
    chmodSync(join(root, 'usr/etc/shadow'), 0o600);
    put('etc', { passwd: machine.passwd, group: machine.group });
    expect(merge()).toEqual(quiet);
    expect(read('shadow')).toBe('root:*:1::::::\nntp:!:1::::::\n');
    expect(statSync(join(root, 'etc/shadow')).mode & 0o7777).toBe(0o600);
  });

  it('refuses a user whose id is taken, names both, and adds the rest', () => {
    const there = {
      passwd: `${image.passwd}web:x:1000:33::/var/www:/sbin/nologin\nftp:x:21:21::/:/sbin/nologin\n`,
      group: `${image.group}www:x:33:web,ntp\nftp:x:21:\n`,
      shadow: `${image.shadow}web:!:1::::::\n`,
    };
    const { status, stderr, passwd, group, shadow } = merged(there);
    expect(status).toBe(1);
    expect(stderr).toBe(
      'treeline: user web of this version is not added: its id 1000 belongs to the user ann here\n',
    );
    expect(passwd).not.toContain('web');
    expect(passwd).toContain('\nftp:x:21:21:');
    expect(group).toMatch(/\nwww:x:33:ntp\nftp:x:21:\n$/);
    expect(shadow).not.toContain('web');
  });

  it('refuses a group whose id is taken, and the user that would have landed in the other’s', () => {
    const { status, stderr, passwd, group } = merged({}, { group: `${machine.group}mine:x:110:ann\n` });
    expect(status).toBe(1);
    expect(stderr).toBe(
      'treeline: group ntp of this version is not added: its id 110 belongs to the group mine here\n' +
        'treeline: user ntp of this version is not added: its group ntp could not be added\n',
    );
    expect({ passwd, group }).toEqual({ passwd: machine.passwd, group: `${machine.group}mine:x:110:ann\n` });
  });

  it('refuses a user whose group has another id here', () => {
    const { status, stderr, passwd } = merged({}, { group: `${machine.group}ntp:x:111:\n` });
    expect(status).toBe(1);
    expect(stderr).toContain(
      'user ntp of this version is not added: its group ntp has the id 111 here, not 110',
    );
    expect(passwd).toBe(machine.passwd);
  });

  it('compares ids as numbers', () => {
    const { status, stderr } = merged({}, { passwd: `${machine.passwd}other:x:0110:5::/:/bin/sh\n` });
    expect(status).toBe(1);
    expect(stderr).toContain('its id 110 belongs to the user other here');
  });

  it('gives groups that exist only those new members that are new users', () => {
    const { group } = merged({ group: 'root:x:0:ntp\nadm:x:4:root,ntp,daemon,ntp\nntp:x:110:\n' });
    expect(group).toBe('root:x:0:ntp\nadm:x:4:root,ann,ntp\nann:x:1000:\nntp:x:110:\n');
  });

  it('does not take a local user of the same name for the image’s', () => {
    const here = { passwd: `${machine.passwd}ntp:x:1001:1000::/home/ntp:/bin/sh\n` };
    const { status, passwd, group, shadow } = merged({ group: 'adm:x:4:ntp\nntp:x:110:\n' }, here);
    expect(status).toBe(0);
    expect(passwd).toBe(here.passwd);
    expect(group).toBe(`${machine.group}ntp:x:110:\n`);
    expect(shadow).toBe(machine.shadow);
  });

  it('gives a new user without a line in shadow one that lets nobody in', () => {
    expect(merged({ shadow: 'root:*:1::::::\n' }).shadow).toBe(`${machine.shadow}ntp:*:::::::\n`);
  });

  it('keeps comments, empty and damaged lines and NIS entries, and adds behind them', () => {
    const here = {
      passwd: `# mine\n\nroot:x:0:0::/root:/bin/sh\nbroken\nntp:x\n:x:110:1::/:/bin/sh\nx:y:110z:1\n+@admins::::::\n+::::::`,
      group: 'root:x:0:\n+:::',
      shadow: '#root\nroot:*:::::::\nntp',
    };
    expect(merged({}, here)).toEqual({
      ...quiet,
      passwd: `${here.passwd}\nntp:x:110:110::/var/empty:/sbin/nologin\n`,
      group: `${here.group}\nadm:x:4:root\nntp:x:110:\n`,
      shadow: `${here.shadow}\nntp:!:1::::::\n`,
    });
  });

  it('passes over what is damaged in the image', () => {
    const there = {
      passwd: `${image.passwd}bad:x:200\n#c:x:201:1::/:/bin/sh\n+x:x:202:1::/:/bin/sh\nworse:x:2x:1::/:/bin/sh\n`,
      group: `${image.group}bad:x\n\n`,
      shadow: `${image.shadow}bad\n`,
    };
    expect(merged(there)).toMatchObject({
      ...quiet,
      passwd: `${machine.passwd}ntp:x:110:110::/var/empty:/sbin/nologin\n`,
      group: `${machine.group}ntp:x:110:\n`,
    });
  });

  it('takes a group without a field for members as one without members', () => {
    expect(merged({ group: 'adm:x:4:ntp\nntp:x:110:\n' }, { group: 'adm:x:4' }).group).toBe(
      'adm:x:4:ntp\nntp:x:110:\n',
    );
  });

  it('takes names and passwords as they are, whatever they look like', () => {
    const odd = String.raw`a\tb&.*:$5$\\n&/:1::::::`;
    const passwd = String.raw`a\tb&.*:x:300:110:Åsa & "Co" \n %s:/:/bin/sh`;
    expect(merged({ passwd: `${image.passwd}${passwd}\n`, shadow: `${image.shadow}${odd}\n` })).toMatchObject(
      {
        passwd: expect.stringContaining(`${passwd}\n`) as string,
        shadow: expect.stringContaining(`${odd}\n`) as string,
      },
    );
  });

  it('does nothing on a system without /usr/etc', () => {
    put('etc', machine);
    expect(merge()).toEqual(quiet);
    expect(read('passwd')).toBe(machine.passwd);
  });

  it('says so and leaves nothing behind where it cannot write', () => {
    put('usr/etc', image);
    put('etc', machine);
    // Neither removed by rm -f nor replaced by a rename.
    mkdirSync(join(root, 'etc/shadow.new'));
    const { status, stderr } = merge();
    expect(status).toBe(1);
    expect(stderr).toContain(`treeline: cannot write ${join(root, 'etc')}/shadow\n`);
    expect(read('passwd')).toBe(machine.passwd);
  });

  it('works through 5,000 users', () => {
    const many = (first: number, name: string) =>
      Array.from({ length: 5000 }, (_, i) => [`${name}${i}`, first + i] as const);
    const lines = (users: readonly (readonly [string, number])[]): Required<Accounts> => ({
      passwd: users.map(([name, id]) => `${name}:x:${id}:${id}::/:/bin/sh\n`).join(''),
      group: `all:x:9:${users.map(([name]) => name).join(',')}\n${users.map(([name, id]) => `${name}:x:${id}:\n`).join('')}`,
      shadow: users.map(([name]) => `${name}:*:::::::\n`).join(''),
    });
    const { status, passwd, group } = merged(lines(many(10_000, 'new')), lines(many(1000, 'old')));
    expect(status).toBe(0);
    expect(passwd.split('\n')).toHaveLength(10_001);
    expect(group.split('\n')[0]!.split(',')).toHaveLength(10_000);
  });
});
