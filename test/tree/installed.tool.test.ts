import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { tidyInstalled } from '../../src/tree/installed.ts';
import { errorOf, temporaryDirectory } from '../helpers/host.ts';
import { lacks } from '../helpers/needs.ts';
import { layFiles, recipe } from '../helpers/trees.ts';

const origin = { layer: 'x', file: '/x' };
const wanted = recipe({ packages: ['web', 'musl', 'new@edge'].map((name) => ({ name, origin })) });

/** What apk leaves, as it is after the merge of /usr. */
const installed = (): string =>
  layFiles(temporaryDirectory(), {
    'etc/passwd': 'root:x:0:0::/root:/bin/sh\n',
    'etc/passwd-': 'old',
    'etc/group-': 'old',
    'etc/shadow-': 'old',
    'etc/shadow': 'root:*::0:::::\nweb:!:20000:0:99999:7:::\nday-like:$6$a$20000:20001:0:99999:7:::\n',
    'etc/apk/world': 'web\nhelper\n',
    'usr/lib/apk/db/installed': 'P:web\n',
    'usr/lib/apk/db/lock': '',
    'var/log/apk.log': '2026',
    'usr/sbin/apk': 'program',
  });

it('removes what tells of the installation, and keeps the database', async () => {
  const root = installed();
  await tidyInstalled(root, wanted);
  for (const path of ['etc/passwd-', 'etc/group-', 'etc/shadow-', 'usr/lib/apk/db/lock', 'var/log/apk.log'])
    expect([path, existsSync(join(root, path))]).toEqual([path, false]);
  expect(readFileSync(join(root, 'usr/lib/apk/db/installed'), 'utf8')).toBe('P:web\n');
  expect(existsSync(join(root, 'etc/passwd'))).toBe(true);
});

it.skipIf(lacks({ root: true }))('forgets the days in shadow, not its owner and mode', async () => {
  const root = installed();
  chmodSync(join(root, 'etc/shadow'), 0o640);
  chownSync(join(root, 'etc/shadow'), 0, 42);
  await tidyInstalled(root, wanted);
  expect(readFileSync(join(root, 'etc/shadow'), 'utf8')).toBe(
    'root:*::0:::::\nweb:!::0:99999:7:::\nday-like:$6$a$20000::0:99999:7:::\n',
  );
  const { mode, gid } = lstatSync(join(root, 'etc/shadow'));
  expect([mode & 0o7777, gid]).toEqual([0o640, 42]);
});

it('writes what was asked for, sorted and without tags, as apk’s world', async () => {
  const root = installed();
  await tidyInstalled(root, wanted);
  expect(readFileSync(join(root, 'etc/apk/world'), 'utf8')).toBe('musl\nnew\nweb\n');
  const provided = { ...wanted, provided: [{ name: 'mkinitfs', origin }] };
  await tidyInstalled(root, provided);
  expect(readFileSync(join(root, 'etc/apk/world'), 'utf8')).toContain('treeline-provided\n');
});

it.each(['usr/sbin/apk', 'usr/bin/apk'])('puts the program %s out of the way', async (path) => {
  const root = layFiles(temporaryDirectory(), { [path]: 'program' });
  await tidyInstalled(root, wanted);
  expect(existsSync(join(root, path))).toBe(false);
  expect(readFileSync(join(root, 'usr/libexec/apk'), 'utf8')).toBe('program');
});

it('takes a tree without apk, accounts and database', async () => {
  const root = temporaryDirectory();
  await tidyInstalled(root, wanted);
  expect(readdirSync(root, { recursive: true })).toEqual(['etc', 'etc/apk', 'etc/apk/world']);
});

it.skipIf(lacks({ programs: ['tar'] }))(
  'gives the scripts in apk’s database one time, and changes nothing else',
  async () => {
    const archive = (seconds: number): string => {
      const root = installed();
      const scripts = layFiles(temporaryDirectory(), {
        'web-1.0-r0.Q1aaaa.post-install': `#!/bin/sh\n${'x'.repeat(700)}\n`,
        'web-1.0-r0.Q1aaaa.trigger': '',
        'zlast-1.0-r0.Q1bbbb.pre-install': '#!/bin/sh\n',
      });
      for (const name of execFileSync('ls', [scripts], { encoding: 'utf8' }).trim().split('\n'))
        utimesSync(join(scripts, name), seconds, seconds);
      execFileSync('tar', [
        ...['--create', '--format=ustar', '--sort=name', '--owner=root:0', '--group=root:0', '--mode=0755'],
        ...[
          '--file',
          join(root, 'usr/lib/apk/db/scripts.tar'),
          '--directory',
          scripts,
          '--transform=s,^\\./,,',
          '.',
        ],
      ]);
      return root;
    };
    const read = (root: string): Buffer => readFileSync(join(root, 'usr/lib/apk/db/scripts.tar'));
    const [one, other] = [archive(1_700_000_000), archive(1_800_000_123)];
    expect(read(one).equals(read(other))).toBe(false);
    const list = (root: string): string =>
      execFileSync('tar', ['-tvf', join(root, 'usr/lib/apk/db/scripts.tar'), '--full-time'], {
        encoding: 'utf8',
      });
    const before = list(one);
    for (const root of [one, other]) {
      chmodSync(join(root, 'usr/lib/apk/db/scripts.tar'), 0o644);
      await tidyInstalled(root, wanted);
    }
    expect(read(one).equals(read(other))).toBe(true);
    const withoutTimes = (text: string): string => text.replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, 'TIME');
    expect(withoutTimes(list(one))).toBe(withoutTimes(before));
    expect(list(one).match(/1970-01-01/g)).toHaveLength(before.trim().split('\n').length);
    const unpacked = temporaryDirectory();
    execFileSync('tar', ['-xf', join(one, 'usr/lib/apk/db/scripts.tar'), '-C', unpacked]);
    expect(readFileSync(join(unpacked, 'web-1.0-r0.Q1aaaa.post-install'), 'utf8')).toHaveLength(711);
  },
);

it('does not end on a damaged archive of scripts', async () => {
  const root = installed();
  writeFileSync(join(root, 'usr/lib/apk/db/scripts.tar'), Buffer.alloc(1300, 'x'));
  await tidyInstalled(root, wanted);
  expect(lstatSync(join(root, 'usr/lib/apk/db/scripts.tar')).size).toBe(1300);
});

it('refuses files that a script made setuid or setgid, and takes those that a layer allows', async () => {
  for (const mode of [0o4755, 0o2755, 0o6711]) {
    const root = layFiles(installed(), { 'usr/bin/mine': '', 'usr/bin/su': '' });
    chmodSync(join(root, 'usr/bin/mine'), mode);
    chmodSync(join(root, 'usr/bin/su'), 0o4755);
    const allowing = (...setuid: string[]) => ({ ...wanted, settings: { ...wanted.settings, setuid } });
    const error = await errorOf(tidyInstalled(root, allowing('bin/su')));
    expect(error.code).toBe('package');
    expect(error.message).toContain(`/usr/bin/mine setuid or setgid (mode ${mode.toString(8)})`);
    expect(error.hint).toContain('setting setuid');
    await tidyInstalled(root, allowing('bin/su', 'usr/bin/mine'));
  }
});

it('refuses a second name of a file that may be setuid', async () => {
  const root = layFiles(installed(), { 'usr/bin/su': '' });
  chmodSync(join(root, 'usr/bin/su'), 0o4755);
  mkdirSync(join(root, 'tmp'));
  linkSync(join(root, 'usr/bin/su'), join(root, 'tmp/kept'));
  const allowing = { ...wanted, settings: { ...wanted.settings, setuid: ['usr/bin/su'] } };
  expect((await errorOf(tidyInstalled(root, allowing))).message).toContain('/tmp/kept');
});

it('lets directories be setgid', async () => {
  const root = installed();
  mkdirSync(join(root, 'var/mail'));
  chmodSync(join(root, 'var/mail'), 0o2775);
  await tidyInstalled(root, wanted);
  expect(lstatSync(join(root, 'var/mail')).mode & 0o7777).toBe(0o2775);
});

it('follows links within the tree alone: nothing of this machine is read or written', async () => {
  const outside = layFiles(temporaryDirectory(), { secret: `${'secret '.repeat(300)}`, 'bin/kept': '' });
  const root = layFiles(temporaryDirectory(), {
    'usr/sbin/apk': 'program',
    'usr/libexec': { link: join(outside, 'bin') },
    'usr/lib/apk/db/scripts.tar': { link: join(outside, 'secret') },
    [join('.', outside, 'secret')]: 'of the tree',
    [join('.', outside, 'bin/x')]: '',
  });
  await tidyInstalled(root, wanted);
  expect(readdirSync(join(outside, 'bin'))).toEqual(['kept']);
  expect(readFileSync(join(root, outside, 'bin/apk'), 'utf8')).toBe('program');
  expect(readFileSync(join(root, 'usr/lib/apk/db/scripts.tar'), 'utf8')).not.toContain('secret');
});
