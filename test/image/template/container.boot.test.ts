import { execa } from 'execa';
import { appendFile, cp, mkdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeTemplate } from '../../../src/image/template/template.ts';
import type { Container, ContainerOptions } from '../../helpers/lxc.ts';
import { shiftOwners, startContainer } from '../../helpers/lxc.ts';
import {
  commitTree,
  deploy,
  makeSmallSysroot,
  makeSmallTree,
  removeDirectory,
  testDirectory,
  testHost,
  testRecipe,
} from './small-sysroot.ts';

let directory: string;
let template: string;
let repository: string;
const containers: Container[] = [];

/** A template of the small tree, unpacked for each test from the tarball that people download. */
beforeAll(async () => {
  directory = await testDirectory();
  let sysroot: string;
  ({ sysroot, repository } = await makeSmallSysroot(directory, { name: 'sysroot' }));
  await makeTemplate(testHost(directory), {
    sysroot,
    recipe: testRecipe('lxc'),
    version: '1',
    epoch: 1_762_214_400,
    directory,
    name: 'small',
    flat: true,
  });
  template = join(directory, 'small.tar.zst');
});
afterAll(async () => {
  for (const container of containers) await container.destroy();
  await removeDirectory(directory);
});

async function unpack(name: string, tarball = template): Promise<string> {
  const rootfs = join(directory, name);
  await mkdir(rootfs);
  await execa('tar', ['--extract', '--numeric-owner', `--directory=${rootfs}`, '--file', tarball]);
  return rootfs;
}

async function start(options: ContainerOptions): Promise<Container> {
  const container = await startContainer(options);
  containers.push(container);
  return container;
}

/** Exit code of a command inside: 0 or not. */
const succeeds = async (container: Container, command: string): Promise<boolean> =>
  (await container.attach(command)).exitCode === 0;

describe('a container of the template', () => {
  let rootfs: string;
  let container: Container;
  let firstCommit: string;

  beforeAll(async () => {
    rootfs = await unpack('privileged');
    container = await start({ rootfs });
    await container.waitFor('small: version 1, PID 1 is init');
  });

  test("runs the deployment's init as PID 1 in the deployment as root", async () => {
    expect(await container.attachText('readlink /proc/1/exe')).toBe('/usr/bin/busybox');
    expect(await container.attachText('. /etc/os-release; echo $VERSION_ID')).toBe('1');
    const [inside, outside] = [
      await container.attachText('stat -c %i /'),
      (await execa('stat', ['-Lc', '%i', join(rootfs, 'current')])).stdout,
    ];
    expect(inside).toBe(outside);
  });

  test.each(['/new', '/usr/new', '/sysroot/new', '/sysroot/ostree/new'])(
    'cannot write to %s',
    async (path) => {
      const { exitCode, stderr } = await container.attach(`touch ${path}`);
      expect(exitCode).not.toBe(0);
      expect(stderr).toContain('Read-only file system');
    },
  );

  test.each(['/etc/new', '/var/new', '/root/new', '/tmp/new', '/run/new', '/boot/new'])(
    'can write to %s',
    async (path) => {
      expect(await container.attach(`touch ${path}`)).toMatchObject({ exitCode: 0, stderr: '' });
    },
  );

  test('is known as booted by ostree', async () => {
    expect(await succeeds(container, 'test -e /run/ostree-booted')).toBe(true);
    expect(await container.attachText('readlink /ostree')).toBe('sysroot/ostree');
  });

  test('keeps what its manager mounted: /proc/sys is read-only, the console is there, nothing is mounted twice', async () => {
    const { stderr } = await container.attach('echo x >/proc/sys/kernel/hostname');
    expect(stderr).toContain('Read-only file system');
    expect(await succeeds(container, 'test -c /dev/console && test -c /dev/pts/ptmx')).toBe(true);
    const points = (await container.attachText('cut -d " " -f 5 /proc/self/mountinfo')).split('\n');
    expect(points.toSorted()).toEqual([...new Set(points)].toSorted());
    expect(points.filter((point) => point.startsWith('/sysroot/'))).toEqual([]);
  });

  test('enters a new deployment at a reboot from inside, and keeps /etc and /var', async () => {
    await container.attachText('echo mine >/etc/mine; echo mine >/var/mine');
    firstCommit = /([0-9a-f]{64})\.0$/.exec(await readlink(join(rootfs, 'current')))![1]!;
    await makeSmallTree(join(directory, 'second.tree'), '2');
    await commitTree(repository, join(directory, 'second.tree'), '2');
    await deploy(repository, rootfs);
    expect(await container.attachText('. /etc/os-release; echo $VERSION_ID')).toBe('1');
    await container.attachText('reboot');
    await container.waitFor('small: going down');
    await container.waitFor('small: version 2, PID 1 is init');
    expect(await container.attachText('cat /etc/mine /var/mine')).toBe('mine\nmine');
    expect(await readlink(join(rootfs, 'current'))).toMatch(/\.0$/);
    const { stdout } = await execa('cat', [join(rootfs, 'etc/os-release')]);
    expect(stdout).toContain('VERSION_ID=2');
  });

  test('goes back to the old deployment when that is made the default again', async () => {
    const env = { OSTREE_SYSROOT_DEBUG: 'mutable-deployments' };
    const args = ['admin', 'deploy', `--sysroot=${rootfs}`, '--os=treeline', '--retain', firstCommit];
    await execa('ostree', args, { env });
    await container.attachText('reboot');
    await container.waitFor('small: version 1, PID 1 is init');
    expect(await container.attachText('cat /var/mine')).toBe('mine');
  });

  test('stops when it powers off, and starts again', async () => {
    await container.attach('poweroff');
    await container.waitFor('small: going down');
    await container.waitStopped();
    await container.start();
    await container.waitFor('small: version 1, PID 1 is init');
    expect(await container.state()).toBe('RUNNING');
  });

  test('stops when its manager asks for it', async () => {
    await container.stop();
    await container.waitFor('small: going down', 1000);
    expect(await container.state()).toBe('STOPPED');
  });
});

describe('a new version', () => {
  let count = 0;
  /** A rootfs with version 1 running so far and version 2 deployed; `tries`: what the trial file says of version 2. */
  const makeRootfs = async (
    change: (tree: string) => Promise<void>,
    tries: string | undefined,
  ): Promise<{ rootfs: string; trial: string; commit: string }> => {
    const rootfs = await unpack(`trial-${++count}`);
    const tree = join(directory, `trial-${count}.tree`);
    await makeSmallTree(tree, '2');
    await change(tree);
    const commit = await commitTree(repository, tree, '2');
    await deploy(repository, rootfs);
    const trial = join(rootfs, 'ostree/deploy/treeline/trial');
    if (tries !== undefined) await writeFile(trial, tries.replace('COMMIT', commit));
    return { rootfs, trial, commit };
  };
  const unchanged = async (): Promise<void> => {};
  const version = (number: number): string => `small: version ${number}, PID 1 is init`;
  const startsAgain = async (container: Container, number: number): Promise<void> => {
    await container.stop();
    await container.start();
    await container.waitFor(version(number));
  };

  test('is started once, and the one before it until somebody decides', async () => {
    const { rootfs, trial, commit } = await makeRootfs(unchanged, 'COMMIT 1\n');
    const container = await start({ rootfs });
    await container.waitFor(version(2));
    expect(await readFile(trial, 'utf8')).toBe(`${commit} 0\n`);
    await startsAgain(container, 1);
    expect(await readlink(join(rootfs, 'current'))).not.toContain(commit);
    await startsAgain(container, 1);
    expect(await readFile(trial, 'utf8')).toBe(`${commit} 0\n`);
    await rm(trial);
    await startsAgain(container, 2);
    expect(await readlink(join(rootfs, 'current'))).toContain(commit);
  });

  test('is counted, too, where another one should have replaced it', async () => {
    const other = 'f'.repeat(64);
    const { rootfs, trial, commit } = await makeRootfs(unchanged, `${other} 1\nCOMMIT 1\n`);
    const container = await start({ rootfs });
    await container.waitFor(version(2));
    expect(await readFile(trial, 'utf8')).toBe(`${other} 1\n${commit} 0\n`);
    await startsAgain(container, 1);
  });

  test('whose init ends at once is left for the one before it', async () => {
    const brokenInit = async (tree: string): Promise<void> => {
      await rm(join(tree, 'usr/sbin/init'));
      await writeFile(join(tree, 'usr/sbin/init'), '#!/bin/sh\necho broken\nexit 1\n', { mode: 0o755 });
    };
    const { rootfs, trial, commit } = await makeRootfs(brokenInit, 'COMMIT 1\n');
    const container = await start({ rootfs }).catch((error: Error) => error);
    if (container instanceof Error) expect(container.message).toContain('broken');
    else await container.waitStopped();
    const second = await start({ rootfs });
    await second.waitFor(version(1));
    expect(await readFile(trial, 'utf8')).toBe(`${commit} 0\n`);
  });

  test.each(['COMMIT 1\n', undefined])(
    'that was not made for containers is passed over (trial file: %j)',
    async (tries) => {
      const withoutEnter = (tree: string): Promise<void> =>
        rm(join(tree, 'usr/lib/treeline/container/enter'));
      const { rootfs, commit } = await makeRootfs(withoutEnter, tries);
      const container = await start({ rootfs });
      await container.waitFor('it lacks /usr/lib/treeline/container/enter');
      await container.waitFor(version(1));
      expect(await readlink(join(rootfs, 'current'))).not.toContain(commit);
    },
  );

  test.each(['', 'COMMIT\n', 'COMMIT -1\n', '\0\0', '$(reboot) 0\n', 'COMMIT 0 \n'])(
    'starts where the trial file is damaged, which is left alone: %j',
    async (tries) => {
      const { rootfs, trial, commit } = await makeRootfs(unchanged, tries);
      const container = await start({ rootfs });
      await container.waitFor(version(2));
      expect(await readFile(trial, 'utf8')).toBe(tries.replace('COMMIT', commit));
    },
  );

  test('is not started where its try cannot be counted', async () => {
    const { rootfs, trial } = await makeRootfs(unchanged, 'COMMIT 1\n');
    await mkdir(`${trial}.new`);
    const container = await start({ rootfs });
    await container.waitFor(version(1));
    expect(await readFile(trial, 'utf8')).toMatch(/ 1\n$/);
  });

  test('that does not report success before its deadline is left for the one before it', async () => {
    const hurried = (tree: string): Promise<void> =>
      writeFile(join(tree, 'usr/etc/treeline.conf'), 'TREELINE_BOOT_DEADLINE=2\n');
    const { rootfs, trial } = await makeRootfs(hurried, 'COMMIT 1\n');
    const container = await start({ rootfs });
    await container.waitFor(version(2));
    await container.waitFor('treeline: not up after 2 seconds: starting again');
    await container.waitFor(version(1));
    expect(await succeeds(container, 'test -e /run/treeline/deadline.pid')).toBe(false);
    await rm(trial);
  });

  test('has a deadline that can be ended, and that shows in ps what it is', async () => {
    const { rootfs } = await makeRootfs(unchanged, 'COMMIT 1\n');
    const container = await start({ rootfs });
    await container.waitFor(version(2));
    expect(
      await container.attachText('tr "\\0" " " </proc/$(cat /run/treeline/deadline.pid)/cmdline'),
    ).toMatch(/\/usr\/lib\/treeline\/container\/deadline 600 ?$/);
    await container.attachText('kill $(cat /run/treeline/deadline.pid)');
    await expect.poll(() => succeeds(container, 'pgrep -f "deadline|sleep 600"')).toBe(false);
    expect(await container.state()).toBe('RUNNING');
  });
});

test('an unprivileged container runs too, with a root file system that is read-only all the same', async () => {
  const rootfs = await unpack('unprivileged');
  await shiftOwners(rootfs, 100_000);
  // The way to the rootfs must be open to the container's root.
  await execa('chmod', ['0755', directory]);
  const container = await start({ rootfs, firstId: 100_000 });
  await container.waitFor('small: version 1, PID 1 is init');
  expect(await container.attachText('cat /proc/self/uid_map')).toMatch(/^0\s+100000\s+65536$/);
  expect(await succeeds(container, 'touch /new')).toBe(false);
  expect(await succeeds(container, 'touch /sysroot/new')).toBe(false);
  expect(await succeeds(container, 'touch /etc/new /var/new')).toBe(true);
});

test('a root file system that is mounted nosuid and nodev is made read-only in a user namespace too', async () => {
  const place = join(directory, 'strict');
  await mkdir(place);
  await execa('mount', ['-t', 'tmpfs', '-o', 'nosuid,nodev,mode=0755', 'strict', place]);
  try {
    const rootfs = await unpack('strict/rootfs');
    await shiftOwners(rootfs, 100_000);
    const container = await start({ rootfs, firstId: 100_000 });
    await container.waitFor('small: version 1, PID 1 is init');
    expect(container.output).not.toContain('cannot make');
    expect(await succeeds(container, 'touch /new')).toBe(false);
    await container.destroy();
  } finally {
    await execa('umount', [place]);
  }
});

test('where pivot_root is forbidden, it is a chroot with the same writable places', async () => {
  const rootfs = await unpack('no-pivot');
  const profile = join(directory, 'no-pivot.seccomp');
  await writeFile(profile, '2\ndenylist\n[all]\npivot_root errno 1\n');
  const container = await start({ rootfs, config: [`lxc.seccomp.profile = ${profile}`] });
  await container.waitFor('using chroot');
  await container.waitFor('small: version 1, PID 1 is init');
  // lxc-attach enters the old root, whose links lead to the deployment.
  expect(await container.attachText('. /etc/os-release; echo $VERSION_ID')).toBe('1');
  const inDeployment = (command: string): string => `chroot /proc/1/root /bin/sh -c '${command}'`;
  expect(await succeeds(container, inDeployment('touch /new'))).toBe(false);
  expect(await succeeds(container, inDeployment('touch /etc/new /var/new && test -d /sysroot/ostree'))).toBe(
    true,
  );
});

test('without CAP_SYS_ADMIN it says on the console what is missing and what to do, and ends', async () => {
  const rootfs = await unpack('no-mounts');
  const container = await start({ rootfs, config: ['lxc.cap.drop = sys_admin'] }).catch(
    (error: Error) => error,
  );
  if (container instanceof Error) {
    expect(container.message).toContain('it may not mount (CAP_SYS_ADMIN is missing)');
    return;
  }
  await container.waitFor('it may not mount (CAP_SYS_ADMIN is missing)');
  await container.waitFor('lxc.cap.drop');
  await container.waitFor('flat template');
  await container.waitStopped();
});

test('the flat template runs without CAP_SYS_ADMIN', async () => {
  const rootfs = await unpack('flat', join(directory, 'small-flat.tar.zst'));
  const container = await start({ rootfs, config: ['lxc.cap.drop = sys_admin'] });
  await container.waitFor('small: version 1, PID 1 is init');
  expect(await succeeds(container, 'touch /new /usr/new /etc/new /var/new')).toBe(true);
});

test('a link /current to a deployment that is gone is no obstacle', async () => {
  const rootfs = await unpack('dangling');
  await rm(join(rootfs, 'current'));
  const container = await start({ rootfs });
  await container.waitFor('small: version 1, PID 1 is init');
  expect(await readlink(join(rootfs, 'current'))).toMatch(
    /^ostree\/deploy\/treeline\/deploy\/[0-9a-f]{64}\.0$/,
  );
});

test('a container without boot entries says so, and ends', async () => {
  const rootfs = await unpack('no-entries');
  await rm(join(rootfs, 'boot/loader'));
  const container = await start({ rootfs }).catch((error: Error) => error);
  if (container instanceof Error) {
    expect(container.message).toContain('there is no boot entry');
    return;
  }
  await container.waitFor('there is no boot entry');
  await container.waitStopped();
});

test('lxc-create takes tarball and metadata, and what it makes starts', async () => {
  const lxcPath = join(directory, 'lxc');
  await mkdir(lxcPath);
  await execa('lxc-create', [
    ...['--lxcpath', lxcPath, '--name', 'small', '--template', 'local', '--config', '/dev/null', '--'],
    ...['--metadata', join(directory, 'small-meta.tar.xz'), '--fstree', join(directory, 'small.tar.xz')],
  ]);
  const consoleFile = join(lxcPath, 'console');
  await appendFile(
    join(lxcPath, 'small/config'),
    `lxc.net.0.type = empty\nlxc.console.logfile = ${consoleFile}\n`,
  );
  const where = ['--lxcpath', lxcPath, '--name', 'small'];
  try {
    await execa('lxc-start', [...where, '--daemon'], { stdin: 'ignore' });
    const { stdout } = await execa('lxc-attach', [...where, '--', '/bin/cat', '/etc/os-release']);
    expect(stdout).toMatch(/^ID=small/);
  } finally {
    await execa('lxc-stop', [...where, '--kill'], { reject: false });
  }
});

test('the configuration beside the template starts it once its places are filled in', async () => {
  const rootfs = await unpack('configured');
  const lxcPath = join(directory, 'lxc-configured');
  await mkdir(join(lxcPath, 'NAME'), { recursive: true });
  await cp(join(directory, 'small.conf'), join(lxcPath, 'NAME/config'));
  await execa('sed', [
    ...['-i', '-e', `s,/var/lib/lxc/NAME/rootfs,${rootfs},`],
    ...['-e', 's/^lxc.net.0.type = veth/lxc.net.0.type = empty/', '-e', '/^lxc.net.0.\\(link\\|flags\\)/d'],
    join(lxcPath, 'NAME/config'),
  ]);
  const where = ['--lxcpath', lxcPath, '--name', 'NAME'];
  try {
    await execa('lxc-start', [...where, '--daemon'], { stdin: 'ignore' });
    const { stdout } = await execa('lxc-attach', [...where, '--', '/bin/cat', '/etc/os-release']);
    expect(stdout).toMatch(/^ID=small/);
  } finally {
    await execa('lxc-stop', [...where, '--kill'], { reject: false });
  }
});
