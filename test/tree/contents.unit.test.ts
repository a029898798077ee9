import { existsSync, lstatSync, readFileSync, readdirSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Group, User } from '../../src/model.ts';
import { makeLock } from '../../src/packages/lock.ts';
import { writeAccounts } from '../../src/tree/accounts.ts';
import { writeIdentity } from '../../src/tree/identity.ts';
import { enableServices } from '../../src/tree/services.ts';
import { shapeForOstree } from '../../src/tree/shape.ts';
import { makeSkeleton } from '../../src/tree/skeleton.ts';
import { putFile } from '../../src/tree/write.ts';
import { errorOf, temporaryDirectory } from '../helpers/host.ts';
import { emptyLock, layFiles, recipe, services } from '../helpers/trees.ts';

const mode = (path: string): number => statSync(path).mode & 0o7777;
const text = (root: string, path: string): string => readFileSync(join(root, path), 'utf8');

describe('the skeleton', () => {
  it('has the links that OSTree asks for, and what mount points need', async () => {
    const root = temporaryDirectory();
    await makeSkeleton(root);
    const links = readdirSync(root)
      .filter((name) => lstatSync(join(root, name)).isSymbolicLink())
      .map((name) => `${name} ${readlinkSync(join(root, name))}`);
    expect(links).toEqual([
      'bin usr/bin',
      'home var/home',
      'lib usr/lib',
      'lib64 usr/lib64',
      'media var/media',
      'mnt var/mnt',
      'opt var/opt',
      'ostree sysroot/ostree',
      'root var/roothome',
      'sbin usr/sbin',
      'srv var/srv',
    ]);
    for (const path of ['boot', 'dev', 'proc', 'run', 'sys', 'sysroot', 'tmp', 'var', 'etc'])
      expect(lstatSync(join(root, path)).isDirectory()).toBe(true);
    expect(mode(join(root, 'tmp'))).toBe(0o1777);
  });

  it('takes the place of the directories that packages brought', async () => {
    const root = layFiles(temporaryDirectory(), { home: null, root: null, 'usr/bin/tool': 'x' });
    await makeSkeleton(root);
    expect([readlinkSync(join(root, 'home')), text(root, 'bin/tool')]).toEqual(['var/home', 'x']);
  });
});

describe('accounts', () => {
  const user = (parts: Partial<User>): User => ({
    name: 'root',
    uid: 0,
    group: 'root',
    home: '/root',
    shell: '/bin/sh',
    gecos: '',
    password: '*',
    ...parts,
  });
  const groups: Group[] = [
    { name: 'web', gid: 800, members: ['root', 'web'] },
    { name: 'root', gid: 0, members: [] },
  ];

  it('are written by number, with the primary group’s, and no password where none was set', async () => {
    const root = temporaryDirectory();
    await writeAccounts(
      root,
      [user({ name: 'web', uid: 801, group: 'web', gecos: 'Web' }), user({})],
      groups,
    );
    expect(text(root, 'etc/passwd')).toBe('root:x:0:0::/root:/bin/sh\nweb:x:801:800:Web:/root:/bin/sh\n');
    expect(text(root, 'etc/group')).toBe('root:x:0:\nweb:x:800:root,web\n');
    expect(text(root, 'etc/shadow')).toBe('root:*::0:99999:7:::\nweb:*::0:99999:7:::\n');
  });

  it('keep password hashes to root', async () => {
    const root = temporaryDirectory();
    await writeAccounts(root, [user({ password: '$6$x$y' })], groups);
    expect(text(root, 'etc/shadow')).toBe('root:$6$x$y::0:99999:7:::\n');
    expect([mode(join(root, 'etc/shadow')), mode(join(root, 'etc/passwd'))]).toEqual([0o600, 0o644]);
  });
});

describe('services', () => {
  const wanted = recipe({
    settings: { services: services({ boot: ['net', 'syslog'], default: ['sshd'] }) },
    origins: new Map([
      [
        'services.default.sshd',
        { layer: 'service/sshd', file: '/overlays/service/sshd/layer.yaml', line: 4 },
      ],
    ]),
  });

  it('are linked into their runlevels, which all exist', async () => {
    const root = layFiles(temporaryDirectory(), {
      'etc/init.d/net': '',
      'etc/init.d/syslog': '',
      'etc/init.d/sshd': '',
    });
    await enableServices(root, wanted);
    expect(readdirSync(join(root, 'etc/runlevels'))).toEqual([
      'boot',
      'default',
      'nonetwork',
      'shutdown',
      'sysinit',
    ]);
    expect(readdirSync(join(root, 'etc/runlevels/boot'))).toEqual(['net', 'syslog']);
    expect(readlinkSync(join(root, 'etc/runlevels/default/sshd'))).toBe('/etc/init.d/sshd');
  });

  it('that the tree does not have are refused, with who asked for them and the nearest name', async () => {
    const root = layFiles(temporaryDirectory(), {
      'etc/init.d/net': '',
      'etc/init.d/syslog': '',
      'etc/init.d/sshdd': '',
    });
    const error = await errorOf(enableServices(root, wanted));
    expect(error.code).toBe('recipe');
    expect(error.message).toBe(
      'Cannot enable the service sshd (asked for by /overlays/service/sshd/layer.yaml:4): the tree has no /etc/init.d/sshd',
    );
    expect(error.hint).toBe('Did you mean sshdd? Known: net, sshdd, syslog.');
  });

  it('are refused in a tree that has none at all', async () => {
    const error = await errorOf(enableServices(temporaryDirectory(), wanted));
    expect(error.message).toContain('Cannot enable the service net');
  });
});

describe('what a system knows of itself', () => {
  it('is its name, its ref, its packages and the key that it trusts', async () => {
    const root = temporaryDirectory();
    const key = join(layFiles(temporaryDirectory(), { key: 'keyring' }), 'key');
    const openrc = { name: 'openrc', version: '0.45', architecture: 'amd64', source: '', size: 1 };
    const lock = makeLock(emptyLock.distribution, { packages: [{ ...openrc, checksum: 'sha256:a' }] });
    const named = recipe({ settings: { hostname: 'box', update: { url: "http://x/it's" } } });
    await writeIdentity(root, { recipe: named, lock, trustedKeys: key, epoch: 1794824261 });
    expect(text(root, 'etc/hostname')).toBe('box\n');
    expect(text(root, 'etc/os-release')).toContain(
      'ID="debian"\nVERSION_ID="12"\nVERSION_CODENAME="bookworm"\n',
    );
    expect(text(root, 'usr/lib/treeline/image.conf')).toBe(
      `TREELINE_REF='treeline/debian-12/x86_64/vm'\nTREELINE_TARGET='vm'\nTREELINE_UPDATE_URL='http://x/it'\\''s'\nTREELINE_EPOCH='1794824261'\n`,
    );
    expect(text(root, 'usr/share/treeline/packages')).toBe('openrc 0.45 amd64\n');
    expect(text(root, 'usr/share/treeline/trusted.gpg')).toBe('keyring');
  });
});

describe('the time that a system knows to be past', () => {
  it('is in no tree without a kernel: a container has the clock of its host', async () => {
    const root = temporaryDirectory();
    const key = join(layFiles(temporaryDirectory(), { key: 'keyring' }), 'key');
    const container = recipe({ settings: { kernel: { ...recipe().settings.kernel, enabled: false } } });
    await writeIdentity(root, { recipe: container, lock: emptyLock, trustedKeys: key, epoch: 1794824261 });
    expect(text(root, 'usr/lib/treeline/image.conf')).not.toContain('TREELINE_EPOCH');
  });
});

describe('os-release', () => {
  const write = async (files: Parameters<typeof layFiles>[1]): Promise<string> => {
    const root = layFiles(temporaryDirectory(), files);
    const key = join(layFiles(temporaryDirectory(), { key: 'keyring' }), 'key');
    await writeIdentity(root, { recipe: recipe(), lock: emptyLock, trustedKeys: key, epoch: 1794824261 });
    return text(root, 'etc/os-release');
  };

  it('keeps what a package says, with the target behind the name', async () => {
    const ofPackage =
      'NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.19.1\nPRETTY_NAME=\'Alpine Linux v3.19\'\nHOME_URL="https://example.org/"\n';
    for (const path of ['usr/lib/os-release', 'etc/os-release']) {
      const written = await write({ [path]: ofPackage });
      expect(written).toContain('NAME="Alpine Linux"\nID="alpine"\nVERSION_ID="3.19.1"\n');
      expect(written).toContain('PRETTY_NAME="Alpine Linux v3.19 (Treeline vm)"\n');
      expect(written).toContain('HOME_URL="https://example.org/"\n');
    }
  });
});

describe('OSTree’s shape', () => {
  const shaped = async (files: Parameters<typeof layFiles>[1]): Promise<string> => {
    const root = layFiles(temporaryDirectory(), files);
    await makeSkeleton(root);
    await putFile(root, 'root/.profile', 'profile');
    await shapeForOstree(root);
    return root;
  };

  it('has /usr/etc and no /etc, an empty /var, and its content as the factory copy', async () => {
    const root = await shaped({
      'etc/motd': 'hello',
      'var/lib/db/x': 'data',
      'usr/etc/old': 'x',
      'usr/share/factory/var/old': 'x',
    });
    expect(existsSync(join(root, 'etc'))).toBe(false);
    expect([readdirSync(join(root, 'usr/etc')), readdirSync(join(root, 'var'))]).toEqual([['motd'], []]);
    expect(text(root, 'usr/share/factory/var/lib/db/x')).toBe('data');
    expect(text(root, 'usr/share/factory/var/roothome/.profile')).toBe('profile');
    expect(readdirSync(join(root, 'usr/share/factory/var'))).toEqual([
      'cache',
      'home',
      'lib',
      'log',
      'media',
      'mnt',
      'opt',
      'roothome',
      'spool',
      'srv',
      'tmp',
    ]);
  });

  it('keeps root’s home to root and /var/tmp sticky, though a layer put files there', async () => {
    const root = await shaped({});
    expect(mode(join(root, 'usr/share/factory/var/roothome'))).toBe(0o700);
    expect(mode(join(root, 'usr/share/factory/var/tmp'))).toBe(0o1777);
    expect(mode(join(root, 'tmp'))).toBe(0o1777);
  });

  it('has nothing in what is mounted over', async () => {
    const root = await shaped({ 'dev/null': '', 'run/x/y': '', 'tmp/x': '', 'proc/x': '', 'sys/x': '' });
    for (const path of ['dev', 'run', 'tmp', 'proc', 'sys'])
      expect(readdirSync(join(root, path))).toEqual([]);
  });
});
