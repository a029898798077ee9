// oxlint-disable vitest/expect-expect -- expectRefusal, expectGoodBuild and their kin assert.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { serveDirectory } from '../faults/static-server.ts';
import type { Ended, How } from './program.ts';
import { checkout, expectRefusal, expectSuccess, runProgram, script } from './program.ts';
import {
  buildSmall,
  builtWorkspace,
  expectGoodBuild,
  filledWorkspace,
  forgetUnpacked,
  refPrefix,
  smallMirror,
  smallLayers,
  smallTree,
  stateOf,
  temporaryDirectory,
  undisturbedCommit,
  warmUp,
} from './workspaces.ts';

beforeAll(() => warmUp());

const nothingBuilt = { refs: {}, output: [], unfinished: [] };
describe('missing host tools', () => {
  /** Hides programs in a mount namespace: a file that nobody can execute lies over each. */
  const without = (programs: readonly string[]): How => {
    const unusable = join(temporaryDirectory(), 'unusable');
    writeFileSync(unusable, '', { mode: 0o644 });
    return {
      under: [
        ...['unshare', '--mount', 'sh', '-e', '-c'],
        'for p in $HIDDEN; do mount --bind "$0" "$(command -v "$p")"; done; exec "$@"',
        unusable,
      ],
      env: { HIDDEN: programs.join(' ') },
    };
  };

  it('are all named at once, with the packages that have them', async () => {
    const workspace = filledWorkspace();
    const ended = await buildSmall(workspace, [], without(['mksquashfs', 'ostree', 'bwrap']));
    expectRefusal(ended, {
      exitCode: 1,
      says: ['mksquashfs', 'ostree', 'bwrap'],
      hint: ['./scripts/setup', 'bubblewrap', 'ostree', 'squashfs-tools'],
    });
    expect(stateOf(workspace)).toEqual(nothingBuilt);
    await expectGoodBuild(workspace);
  });

  it('that only disks need do not hold up a container', async () => {
    const workspace = filledWorkspace();
    const disk = await runProgram(
      'build-vm',
      ['--workspace', workspace, ...smallTree],
      without(['sfdisk', 'mke2fs']),
    );
    expectRefusal(disk, { exitCode: 1, says: ['sfdisk', 'mke2fs'], hint: ['fdisk', 'e2fsprogs'] });
    await expectGoodBuild(workspace, [], without(['sfdisk', 'mke2fs']));
  });
});

describe('no space left', () => {
  const mebibyte = 2 ** 20;

  /** A disk of its own, as large as a user's is until `resize` makes it small. */
  function disk(): { path: string; resize(bytes: number): void } {
    const path = temporaryDirectory();
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1G', 'small', path]);
    onTestFinished(() => void execFileSync('umount', ['--lazy', path]));
    return { path, resize: (bytes) => void execFileSync('mount', ['-o', `remount,size=${bytes}`, path]) };
  }

  it('for the workspace is told with the disk’s name and leaves nothing; with more room the next build works', async () => {
    const { path, resize } = disk();
    filledWorkspace(path);
    const { blocks, bfree, bsize } = statfsSync(path);
    const used = (blocks - bfree) * bsize;
    for (const room of [0, 1, 3]) {
      resize(used + room * mebibyte);
      const ended = await buildSmall(path);
      const says = ['no space left on the disk', `the disk of ${path}/.treeline has`];
      expectRefusal(ended, { exitCode: 1, says, hint: ['Free some space', '--workspace DIR'] });
      expect(stateOf(path)).toEqual(nothingBuilt);
    }
    resize(1024 * mebibyte);
    await expectGoodBuild(path);
  });

  it('for the results is told with the disk’s name and leaves nothing; with more room the next build works', async () => {
    const { path, resize } = disk();
    const workspace = filledWorkspace();
    for (const size of [mebibyte / 2, 2 * mebibyte]) {
      resize(size);
      const ended = await buildSmall(workspace, ['--output', path]);
      const says = ['no space left on the disk', `the disk of ${path} has`];
      expectRefusal(ended, { exitCode: 1, says, hint: ['Free some space'] });
      expect(stateOf(workspace)).toEqual(nothingBuilt);
      expect(readdirSync(path)).toEqual([]);
    }
    resize(64 * mebibyte);
    await expectGoodBuild(workspace, ['--output', path]);
  });
});

describe('no network', () => {
  const offline: How = { under: ['unshare', '--net'] };

  it('says what was needed and from where, and how to build without', async () => {
    const workspace = temporaryDirectory();
    const ended = await runProgram('build-lxc', ['--workspace', workspace, ...smallLayers], offline);
    const archive = /https?:\/\/[^/\s]+/.exec(
      execFileSync('apt-get', ['indextargets', '--format', '$(URI)'], { encoding: 'utf8' }),
    )![0];
    expectRefusal(ended, {
      exitCode: 1,
      says: ['package lists of Debian', archive],
      hint: ['--mirror', '--offline'],
    });
    expect(stateOf(workspace)).toEqual(nothingBuilt);
  });

  it('names the packages that are not in the cache, and fetches them once there is a network again', async () => {
    const workspace = temporaryDirectory();
    const server = await serveDirectory(smallMirror);
    onTestFinished(() => server.stop());
    const web = `http://127.0.0.1:${server.port}/`;
    const run = (options: readonly string[], how?: How): Promise<Ended> => {
      const fromWeb = ['--mirror', `deb [trusted=yes] ${web} ./`];
      return runProgram('build-lxc', ['--workspace', workspace, ...smallLayers, ...fromWeb, ...options], how);
    };
    expectSuccess(await run([]));
    const before = stateOf(workspace);
    rmSync(join(workspace, '.treeline/cache/packages'), { recursive: true });
    forgetUnpacked(workspace);
    const online = await run(['--force'], offline);
    expectRefusal(online, { exitCode: 1, says: ['Cannot fetch 1 package', web], hint: ['--offline'] });
    const cached = await run(['--force', '--offline'], offline);
    expectRefusal(cached, {
      exitCode: 1,
      says: ['the cache lacks busybox-static'],
      hint: ['without --offline'],
    });
    expect(stateOf(workspace)).toEqual(before);
    expectSuccess(await run(['--force']));
    expect(stateOf(workspace)).toEqual(before);
  });

  it('is no hindrance with --offline and a filled cache, and gives the same commit', async () => {
    await expectGoodBuild(filledWorkspace(), ['--offline'], offline);
  });

  it('is told with --offline where the cache is empty', async () => {
    const workspace = temporaryDirectory();
    const ended = await buildSmall(workspace, ['--offline'], offline);
    expectRefusal(ended, { exitCode: 1, says: ['offline', 'no package lists'], hint: ['without --offline'] });
    expect(stateOf(workspace)).toEqual(nothingBuilt);
  });
});

describe('a place that cannot be written to', () => {
  it.each([
    {
      what: 'a file as workspace',
      options: ['--workspace', '/etc/hostname'],
      says: '/etc/hostname',
      hint: '--workspace DIR',
    },
    {
      what: 'a file as output',
      options: ['--output', '/etc/hostname'],
      says: '/etc/hostname',
      hint: '--output DIR',
    },
    {
      what: 'a place where the kernel makes no directories',
      options: ['--workspace', '/proc/workspace'],
      says: '/proc/workspace',
      hint: '--workspace DIR',
    },
  ])('is refused: $what', async ({ options, says, hint }) => {
    const ended = await runProgram(
      'build-lxc',
      ['--workspace', temporaryDirectory(), ...smallTree, ...options].slice(
        options[0] === '--workspace' ? 2 : 0,
      ),
    );
    expectRefusal(ended, { exitCode: 1, says: [says], hint: [hint] });
  });

  it('is refused: a read-only file system', async () => {
    const workspace = builtWorkspace();
    const before = stateOf(workspace);
    const readOnly = [
      'unshare',
      '--mount',
      'sh',
      '-e',
      '-c',
      'mount --bind -o ro "$0" "$0"; exec "$@"',
      workspace,
    ];
    expectRefusal(await buildSmall(workspace, [], { under: readOnly }), {
      exitCode: 1,
      says: [workspace, 'read-only'],
      hint: ['--workspace DIR'],
    });
    expect(stateOf(workspace)).toEqual(before);
  });

  it('is refused: everything, to those who are not root and have no ids of their own', async () => {
    const workspace = temporaryDirectory();
    const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
    expectRefusal(await buildSmall(workspace, [], { under: nobody }), {
      exitCode: 1,
      says: ['as nobody', '65536 ids for nobody in /etc/subuid and /etc/subgid'],
      hint: ['usermod --add-subuids ', 'as root (sudo)'],
    });
    expect(existsSync(join(workspace, '.treeline'))).toBe(false);
  });
});

describe('a reader that goes away', () => {
  const piped = (command: string, workspace: string) =>
    execa(
      'bash',
      ['-c', command, process.execPath, script('build-lxc'), '--workspace', workspace, ...smallTree],
      {
        cwd: checkout,
        reject: false,
      },
    );

  it('does not stop the build', async () => {
    const workspace = filledWorkspace();
    const ended = await piped('"$0" "$@" 2>&1 | head -n 1; exit ${PIPESTATUS[0]}', workspace);
    expect(ended.stdout).toContain('Building target lxc');
    expect(ended.exitCode).toBe(0);
    expect(stateOf(workspace).refs).toEqual({ [`${refPrefix}/lxc`]: undisturbedCommit('lxc') });
  });

  it('does not hide a failure', async () => {
    const workspace = temporaryDirectory();
    const ended = await piped('"$0" "$@" --keep 0 2>&1 >/dev/null | true; exit ${PIPESTATUS[0]}', workspace);
    expect(ended.exitCode).toBe(2);
  });
});
