import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openRepository } from '../../../src/ostree/repository.ts';
import { tidyInstalled } from '../../../src/tree/installed.ts';
import { layOutPackages } from '../../helpers/lay-out.ts';
import { mergeUsr } from '../../../src/tree/usr-merge.ts';
import type { ApkRequest } from '../../helpers/apks.ts';
import { errorOf, temporaryDirectory } from '../../helpers/host.ts';
import { layFiles } from '../../helpers/trees.ts';
import { asking, cannotInstall, makeMirror, origin, withExtra, workspaceAt } from './alpine.ts';
import { differences, snapshot } from './snapshot.ts';
import { alpineDirectory } from '../../helpers/alpine-repository.ts';

const main = join(alpineDirectory, 'v3.19/main');

/** A shell for the scripts of packages. */
const shell = ['busybox', 'busybox-binsh'];
const script = (text: string): string => `#!/bin/sh\n${text}\n`;

/** `apk add --root`, with the apk that the repository has. */
function addByHand(root: string, names: readonly string[]): void {
  const apk = temporaryDirectory();
  for (const name of ['musl-1', 'apk-tools-', 'libcrypto3-', 'libssl3-', 'zlib-']) {
    const file = readdirSync(join(main, 'x86_64')).find((candidate) => candidate.startsWith(name))!;
    execFileSync('tar', ['-xzf', join(main, 'x86_64', file), '-C', apk], { stdio: 'pipe' });
  }
  execFileSync(
    join(apk, 'lib/ld-musl-x86_64.so.1'),
    [
      ...['--library-path', `${apk}/lib:${apk}/usr/lib`, `${apk}/sbin/apk`, '--root', root],
      ...['--keys-dir', join(alpineDirectory, 'keys/x86_64'), '--repositories-file', '/dev/null'],
      ...['--repository', main, '--arch', 'x86_64', '--no-cache', '--initdb', 'add', ...names],
    ],
    { stdio: 'pipe' },
  );
}

const read = (root: string, path: string): string => readFileSync(join(root, path), 'utf8');

describe.skipIf(cannotInstall)(`installing (${cannotInstall ?? 'with Alpine’s own apk'})`, () => {
  it('gives what apk add --root by hand gives, for 62 packages', async () => {
    const names = ['alpine-base', 'openssh', 'chrony', 'tiny-cloud-nocloud', 'e2fsprogs'];
    const byHand = join(temporaryDirectory(), 'root');
    mkdirSync(byHand);
    addByHand(byHand, names);
    const { fetch } = await workspaceAt([makeMirror().directory]);
    const packages = await fetch(asking(names));
    expect(packages.files).toHaveLength(62);
    const ours = join(temporaryDirectory(), 'root');
    await packages.install!(ours);
    const withoutDay = (root: string): string =>
      read(root, 'etc/shadow').replaceAll(/^([^:]*:[^:]*):\d+:/gm, '$1:DAY:');
    expect(withoutDay(ours)).toBe(withoutDay(byHand));
    expect(read(ours, 'lib/apk/db/installed')).toBe(read(byHand, 'lib/apk/db/installed'));
    for (const root of [ours, byHand]) {
      rmSync(join(root, 'etc/shadow'));
      rmSync(join(root, 'etc/shadow-'), { force: true });
      execFileSync('find', [join(root, 'dev'), '-mindepth', '1', '-delete']);
    }
    const listed = (root: string): string =>
      execFileSync('tar', ['-tvf', join(root, 'lib/apk/db/scripts.tar'), '--full-time'], {
        encoding: 'utf8',
      }).replaceAll(/ \d{4}-\d\d-\d\d \d\d:\d\d:\d\d /g, ' TIME ');
    expect(listed(ours)).toBe(listed(byHand));
    for (const root of [ours, byHand]) {
      const unpacked = join(root, 'scripts');
      mkdirSync(unpacked);
      execFileSync('tar', ['-xf', join(root, 'lib/apk/db/scripts.tar'), '-C', unpacked]);
      rmSync(join(root, 'lib/apk/db/scripts.tar'));
    }
    const [one, other] = [snapshot(ours), snapshot(byHand)];
    expect(Object.keys(one).length).toBeGreaterThan(800);
    expect(differences(one, other)).toEqual([]);
    expect(lstatSync(ours).mode).toBe(lstatSync(byHand).mode);
  });

  it('gives the same tree in workspaces with keys of their own, on different days', async () => {
    const wanted = asking(['alpine-base', 'chrony', 'virt'], { provide: ['initramfs-generator'] });
    const installed = async () => {
      const { host, install, repositories } = await withExtra(
        [{ name: 'virt', depends: ['initramfs-generator'] }],
        { ownKey: true },
      );
      const recipe = { ...wanted, repositories };
      return { recipe, root: await install(recipe), keys: readdirSync(join(host.workspace.keys, 'apk')) };
    };
    const [one, other] = [await installed(), await installed()];
    const shadow = join(other.root, 'etc/shadow');
    writeFileSync(shadow, read(other.root, 'etc/shadow').replace(/^(chrony:!:)\d+:/m, '$112345:'));
    const before = differences(snapshot(one.root), snapshot(other.root)).map((line) => line.split(':')[0]);
    expect(before).toEqual(['etc/shadow', 'lib/apk/db/scripts.tar']);
    for (const { root, recipe } of [one, other]) {
      await mergeUsr(root);
      await tidyInstalled(root, recipe);
    }
    expect(one.keys).not.toEqual(other.keys);
    expect(differences(snapshot(one.root), snapshot(other.root))).toEqual([]);
    expect(read(one.root, 'usr/lib/apk/db/installed')).toContain('P:treeline-provided\n');
    expect(read(one.root, 'etc/apk/world')).toBe('alpine-base\nchrony\ntreeline-provided\nvirt\n');
  });

  it('leaves no file of its own beside the root, and none of the sandbox in it', async () => {
    const { install } = await withExtra([]);
    const root = await install(asking(['busybox']));
    expect(readdirSync(join(root, '..'))).toEqual(['root']);
    expect([readdirSync(join(root, 'dev')), readdirSync(join(root, 'proc'))]).toEqual([[], []]);
    expect([lstatSync(root).mode & 0o7777, lstatSync(join(root, 'proc')).mode & 0o7777]).toEqual([
      0o755, 0o555,
    ]);
  });

  it('takes a package without what is provided otherwise, and keeps its dependency in the database', async () => {
    const virt: ApkRequest = { name: 'virt', depends: ['initramfs-generator'] };
    const { install, wanted } = await withExtra([virt]);
    expect((await errorOf(install(wanted(['virt'])))).output).toContain(
      'initramfs-generator (no such package)',
    );
    const root = await install(wanted(['virt'], { provide: ['initramfs-generator'] }));
    const packages = read(root, 'lib/apk/db/installed').match(/^P:.*$/gm);
    expect(packages!.toSorted()).toEqual(['P:treeline-provided', 'P:virt']);
  });
});

describe.skipIf(cannotInstall)('a script of a package', () => {
  const scripted = (name: string, text: string): ApkRequest => ({
    name: 'scripted',
    depends: shell,
    scripts: { [name]: script(text) },
    ...(name === '.trigger' && { triggers: ['/usr/share/*', '/usr/share'] }),
  });

  it.each(['.pre-install', '.post-install', '.trigger'])(
    'that fails (%s) fails the installation, and what it printed is shown',
    async (name) => {
      const { install, wanted } = await withExtra([
        scripted(name, 'echo to output; echo to errors >&2; exit 7'),
      ]);
      const error = await errorOf(install(wanted(['scripted'])));
      expect(error.code).toBe('package');
      expect(error.message).toContain(
        'Cannot install the packages of treeline/alpine-v3.19/x86_64/vm: scripted-1.0-r0',
      );
      expect(error.message).toContain(name === '.trigger' ? 'trigger' : name.slice(1));
      expect(error.output).toContain('to output\n');
      expect(error.output).toContain('to errors\n');
    },
  );

  it('that cannot write to /dev/null would leave users out, so it fails the installation', async () => {
    const text = 'rm -f /dev/null; mkdir /dev/null 2>/dev/null; echo x 2>&1 > /dev/null || true';
    const noted = scripted(
      '.post-install',
      `${text}; echo "sh: can't create /dev/null: Permission denied" >&2`,
    );
    const { install, wanted } = await withExtra([noted]);
    expect((await errorOf(install(wanted(['scripted'])))).message).toContain("can't create /dev/null");
  });

  it('sees no files, network or processes of this machine, and writes to the root alone', async () => {
    const secret = join(temporaryDirectory(), 'secret');
    writeFileSync(secret, 'secret');
    const report = [
      'exec > /report',
      `cat ${secret} && echo READ`,
      `echo x > ${secret} && echo WRITTEN`,
      'echo interfaces: $(ls /sys/class/net 2>/dev/null; grep -c : /proc/net/dev)',
      'echo processes: $(ls /proc | grep -c "^[0-9]")',
      'pattern=$(cat /proc/sys/kernel/core_pattern)',
      'echo "$pattern" > /proc/sys/kernel/core_pattern && echo SYSCTL',
      'test -w /proc/sysrq-trigger && echo SYSRQ',
      'mknod /dev-node b 8 0 && echo NODE',
      'mount -t tmpfs none /mnt && echo MOUNT',
      // The way out of a chroot for who may call it.
      'mkdir -p /jail; chroot /jail /bin/true; cd /',
      `ls /proc/1/root/ > /outside; ls /proc/1/root${secret} && echo OUTSIDE`,
      'for place in /apk /settings /repositories/packages; do touch /proc/1/root$place/x && echo CHANGED $place; done',
      'env > /environment',
      'true',
    ].join('\n');
    const { install, wanted } = await withExtra([scripted('.post-install', report)]);
    const root = await install(wanted(['scripted']));
    const lines = read(root, 'report').split('\n');
    expect(lines.filter((line) => /^[A-Z]{4,}/.test(line))).toEqual([]);
    // The loopback device alone.
    expect(lines).toContain('interfaces: 1');
    expect(Number(/processes: (\d+)/.exec(read(root, 'report'))![1])).toBeLessThan(12);
    expect(readFileSync(secret, 'utf8')).toBe('secret');
    expect(read(root, 'outside')).not.toMatch(/^(etc|home|usr|var|work)$/m);
    expect(read(root, 'environment')).not.toMatch(/^(HOME|USER|.*proxy|npm_.*)=/m);
  });

  it('that makes a file setuid or setgid is refused, with the file', async () => {
    for (const mode of ['4755', '2755']) {
      const { install, wanted } = await withExtra([
        scripted('.post-install', `cp /bin/busybox /usr/share/mine; chmod ${mode} /usr/share/mine`),
      ]);
      const recipe = wanted(['scripted']);
      const root = await install(recipe);
      await mergeUsr(root);
      const error = await errorOf(tidyInstalled(root, recipe));
      expect(error.message).toContain('a package’s script made /usr/share/mine setuid or setgid');
      expect(error.hint).toContain('setuid');
      const allowed = { ...recipe, settings: { ...recipe.settings, setuid: ['usr/share/mine'] } };
      await tidyInstalled(root, allowed);
      expect(lstatSync(join(root, 'usr/share/mine')).mode & 0o7777).toBe(Number.parseInt(mode, 8));
    }
  });
});

describe.skipIf(cannotInstall)('users and groups', () => {
  const adds = 'addgroup -S mail-drop 2>/dev/null; adduser -S -D -H -G mail-drop maild 2>/dev/null; exit 0';
  const maild: ApkRequest = {
    name: 'maild',
    depends: [...shell, 'alpine-baselayout'],
    scripts: { '.pre-install': script(adds) },
    files: {
      'var/spool/maild/': { uname: 'maild', gname: 'mail-drop', mode: 0o750 },
      'var/spool/maild/state': { content: 'state\n', uname: 'maild', gname: 'mail-drop', mode: 0o640 },
    },
  };
  const user = {
    name: 'maild',
    uid: 410,
    group: 'mail-drop',
    home: '/var/spool/maild',
    shell: '/sbin/nologin',
    gecos: 'Mail',
    password: '*',
  };
  const group = { name: 'mail-drop', gid: 420, members: [] };
  const root0 = { name: 'root', gid: 0, members: [] };

  it('that a layer pins get its ids, and so do the files of the package that makes them', async () => {
    const { install, wanted } = await withExtra([maild]);
    const root = await install(wanted(['maild'], { settings: { users: [user], groups: [root0, group] } }));
    expect(read(root, 'etc/passwd')).toContain('maild:x:410:420:Mail:/var/spool/maild:/sbin/nologin\n');
    expect(read(root, 'etc/passwd').match(/^maild:/gm)).toHaveLength(1);
    expect(read(root, 'etc/group')).toContain('mail-drop:x:420:\n');
    expect(read(root, 'etc/group').match(/^root:/gm)).toHaveLength(1);
    expect(read(root, 'etc/shadow')).toContain('maild:*::0:99999:7:::\n');
    expect(lstatSync(join(root, 'etc/shadow')).mode & 0o7777).toBe(0o640);
    for (const path of ['var/spool/maild', 'var/spool/maild/state']) {
      const { uid, gid } = lstatSync(join(root, path));
      expect([path, uid, gid]).toEqual([path, 410, 420]);
    }
  });

  it('that no layer pins get what adduser chooses, whoever built the package', async () => {
    const { install, wanted } = await withExtra([maild]);
    const root = await install(wanted(['maild']));
    const [, , uid, gid] = /^maild:.*$/m.exec(read(root, 'etc/passwd'))![0].split(':').map(Number);
    expect([uid, gid]).toEqual([100, 101]);
    const stat = lstatSync(join(root, 'var/spool/maild/state'));
    expect([stat.uid, stat.gid]).toEqual([uid, gid]);
  });

  it('are never written through a link that a package put there', async () => {
    const outside = layFiles(temporaryDirectory(), { passwd: 'mine:x:0:0::/:/bin/sh\n' });
    const baselayout: ApkRequest = {
      name: 'alpine-baselayout-data',
      version: '9-r0',
      files: { 'etc/passwd': { link: join(outside, 'passwd') } },
    };
    const { install, wanted } = await withExtra([baselayout]);
    const settings = { users: [user], groups: [root0, group] };
    const error = await errorOf(install(wanted(['alpine-baselayout-data'], { settings })));
    expect(error.code).toBe('package');
    expect(error.message).toBe('Cannot use the packages’ /etc/passwd: it is no file');
    expect(readFileSync(join(outside, 'passwd'), 'utf8')).toBe('mine:x:0:0::/:/bin/sh\n');
  });
});

describe.skipIf(cannotInstall)('a build from a lock', () => {
  const old: ApkRequest = { name: 'web', depends: ['libweb'] };
  const apks: ApkRequest[] = [old, { name: 'libweb' }, { name: 'other' }, { name: 'new' }];
  const installing = async () => {
    const { mirror, host, resolve, options, wanted } = await withExtra(apks);
    const { apkBackend } = await import('../../../src/packages/apk/backend.ts');
    const install = async (lock: Awaited<ReturnType<typeof resolve>>, names: readonly string[]) => {
      const set = await apkBackend.fetch(host, lock, wanted(names), options());
      const root = join(temporaryDirectory(), 'root');
      await set.install!(root);
      return root;
    };
    return { mirror, resolve, install, wanted };
  };
  const cannot = 'Cannot build treeline/alpine-v3.19/x86_64/vm from its lock:';

  it('installs exactly that, although the mirror has a newer one by now', async () => {
    const { mirror, resolve, install, wanted } = await installing();
    const lock = await resolve(wanted(['web']));
    await install(lock, ['web']);
    mirror.publish('extra', [...apks, { name: 'libweb', version: '2.0-r0' }]);
    const root = await install(lock, ['web']);
    expect(read(root, 'lib/apk/db/installed')).toMatch(/^P:libweb\nV:1\.0-r0$/m);
  });

  it('fails naming a package that the layers do not ask for any more', async () => {
    const { resolve, install, wanted } = await installing();
    const lock = await resolve(wanted(['web', 'other']));
    const error = await errorOf(install(lock, ['web']));
    expect(error.message).toBe(`${cannot} it has other 1.0-r0, which the layers do not ask for`);
    expect(error.hint).toContain('npm run lock');
  });

  it('fails naming a package that the layers ask for and it lacks, with file and line', async () => {
    const { resolve, install, wanted } = await installing();
    const lock = await resolve(wanted(['web']));
    const error = await errorOf(install(lock, ['web', 'new']));
    expect(error.message).toBe(`${cannot} it lacks new (asked for by ${origin.file}:3)`);
    expect(error.hint).toContain('npm run lock');
  });

  it('fails where a package is missing that another one needs', async () => {
    const { resolve, install, wanted } = await installing();
    const lock = await resolve(wanted(['web']));
    const less = { ...lock, packages: lock.packages.filter(({ name }) => name !== 'libweb') };
    const error = await errorOf(install(less, ['web']));
    expect(error.message).toBe(`${cannot} it lacks libweb, which web-1.0-r0 needs`);
  });

  it('fails where it has two versions of one package', async () => {
    const { mirror, resolve, install, wanted } = await installing();
    const lock = await resolve(wanted(['web']));
    mirror.publish('extra', [...apks, { name: 'libweb', version: '2.0-r0' }]);
    const { packages } = await resolve(wanted(['web']), { refresh: true });
    const second = packages.find(({ version }) => version === '2.0-r0')!;
    const error = await errorOf(install({ ...lock, packages: [...lock.packages, second] }, ['web']));
    expect(error.message).toBe(`${cannot} it has libweb 1.0-r0, but 2.0-r0 was installed`);
  });

  it('fails for a repository that no layer has', async () => {
    const { resolve, install, wanted } = await installing();
    const lock = await resolve(wanted(['web']));
    const elsewhere = lock.packages.map((entry) => ({ ...entry, source: '../../elsewhere' }));
    const error = await errorOf(install({ ...lock, packages: elsewhere }, ['web']));
    expect(error.message).toContain('no layer has the repository ../../elsewhere that the lock names');
  });
});

describe.skipIf(cannotInstall)('laying out installed packages', () => {
  it('moves them below /usr, tidies them, and keeps the merge for the next build', async () => {
    const { host, fetch } = await withExtra([]);
    await openRepository(host);
    const recipe = asking(['alpine-base']);
    const directory = join(host.workspace.temporary, 'root');
    mkdirSync(host.workspace.temporary, { recursive: true });
    const packages = await fetch(recipe);
    await layOutPackages(host, { recipe, packages, directory, writable: true });
    expect(existsSync(join(directory, 'bin'))).toBe(false);
    expect(existsSync(join(directory, 'usr/libexec/apk'))).toBe(true);
    const copy = join(temporaryDirectory(), 'copy');
    cpSync(directory, copy, { recursive: true, verbatimSymlinks: true });
    rmSync(directory, { recursive: true });
    const unusable = { ...packages, install: () => Promise.reject(new Error('installed again')) };
    await layOutPackages(host, { recipe, packages: unusable, directory, writable: true });
    expect(Object.keys(snapshot(directory))).toEqual(Object.keys(snapshot(copy)));
    await expect(
      layOutPackages(host, {
        recipe: { ...recipe, packages: [...recipe.packages, { name: 'busybox', origin }] },
        packages: unusable,
        directory,
        writable: true,
      }),
    ).rejects.toThrow('installed again');
  });
});
