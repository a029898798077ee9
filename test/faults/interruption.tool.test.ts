// oxlint-disable vitest/expect-expect -- expectRefusal, expectGoodBuild and their kin assert.
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { Ended } from '../badluck/program.ts';
import { checkout, expectRefusal, expectSuccess, runProgram, script } from '../badluck/program.ts';
import { slowPrograms } from '../badluck/slow-programs.ts';
import {
  builtWorkspace,
  checkRepository,
  expectGoodBuild,
  filledWorkspace,
  forgetUnpacked,
  refPrefix,
  smallTree,
  stateOf,
  temporaryDirectory,
  warmUp,
} from '../badluck/workspaces.ts';
import { report, scale } from './scale.ts';

beforeAll(() => warmUp());

interface Started {
  child: ChildProcess;
  /** Resolves when the stage has begun and runs a program of this name, or throws when the command ends before. */
  at(stage: string, program: string): Promise<void>;
  ended: Promise<Ended & { signal: string | null }>;
}

/** So that none of them is over before it is seen. */
const slowly = {
  'apt-get': '*" download "*',
  ostree: '*" commit "*|*" checkout "*|*" static-delta "*',
  tar: '*--create*',
};

/** Starts a command in a process group of its own, as an interactive shell does. */
function start(name: string, workspace: string, options: readonly string[] = []): Started {
  const [first, ...under] = slowPrograms(0.2, slowly);
  const args = [script(name), '--workspace', workspace, ...smallTree, '--json', ...options];
  const child = spawn(first!, [...under, process.execPath, ...args], {
    cwd: checkout,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk) => (stdout += String(chunk)));
  child.stderr.on('data', (chunk) => (stderr += String(chunk)));
  const ended = once(child, 'close').then(([exitCode, signal]) => ({
    exitCode: (exitCode as number | null) ?? 255,
    signal: signal as string | null,
    stdout,
    stderr,
  }));
  return {
    child,
    ended,
    async at(stage, program) {
      const begun = `"type":"stage-start","stage":"${stage}"`;
      await until(`${program} in the stage ${stage}`, () => {
        if (child.exitCode !== null) throw new Error(`${name} ended before ${stage}:\n${stdout}\n${stderr}`);
        return stdout.includes(begun) && programsOf(child.pid!).includes(program);
      });
    },
  };
}

/** Names of the programs that a process has started and that still run. */
function programsOf(parent: number): string[] {
  // Children belong to a thread; ours have no others that start any.
  const children = readOrNothing(`/proc/${parent}/task/${parent}/children`).split(' ').filter(Boolean);
  return children.flatMap((pid) => [readOrNothing(`/proc/${pid}/comm`).trim(), ...programsOf(Number(pid))]);
}

function readOrNothing(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // It ended meanwhile.
    return '';
  }
}

/** Processes that have anything to do with the workspace: in their arguments, or as directory. */
const processesIn = (workspace: string): string[] =>
  processes()
    .filter(({ words, directory }) => words.includes(workspace) || directory.startsWith(workspace))
    .map(({ words }) => words);

interface Process {
  words: string;
  directory: string;
}

function processes(): Process[] {
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      if (/^State:\s+Z/m.test(status)) return [];
      return [
        {
          words: readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' '),
          directory: readlinkSync(`/proc/${pid}/cwd`),
        },
      ];
    } catch {
      // It ended meanwhile.
      return [];
    }
  });
}

async function until(what: string, isSo: () => boolean, timeoutMs = 240_000): Promise<void> {
  const limit = Date.now() + timeoutMs;
  while (!isSo()) {
    if (Date.now() > limit) throw new Error(`waited ${timeoutMs} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
}

/** Stages of a container's build, each with a program that runs in it. */
const programs = {
  'lxc fetch': 'apt-get',
  unpack: 'ostree',
  'lxc merge': 'ostree',
  'lxc tree': 'ostree',
  'lxc commit': 'ostree',
  'lxc image': 'tar',
} as const;
type Stage = keyof typeof programs;
const allStages = Object.keys(programs) as Stage[];

const nothingBuilt = { refs: {}, output: [] };

/** A workspace in which every stage has something to do. */
function coldWorkspace(): string {
  const workspace = filledWorkspace();
  rmSync(join(workspace, '.treeline/cache/packages'), { recursive: true });
  forgetUnpacked(workspace);
  return workspace;
}

interface Stop {
  what: string;
  signal: 'SIGINT' | 'SIGTERM' | 'SIGKILL';
  /** The process or, negative, the group that gets it. */
  whom: (pid: number) => number;
  /** Where it is tried in `npm test`; the torture tries all. */
  short: readonly Stage[];
}

const stops: Stop[] = [
  {
    ...{ what: 'Ctrl-C, which goes to the whole process group', signal: 'SIGINT' },
    ...{ whom: (pid) => -pid, short: allStages },
  },
  {
    ...{ what: 'SIGTERM to the process alone', signal: 'SIGTERM' },
    ...{ whom: (pid) => pid, short: ['unpack', 'lxc image'] },
  },
  {
    ...{ what: 'kill -9', signal: 'SIGKILL' },
    ...{ whom: (pid) => pid, short: ['lxc fetch', 'lxc merge', 'lxc image'] },
  },
];

describe.each(stops)('$what', ({ what, signal, whom, short }) => {
  it('at any stage leaves nothing but the cache, and no process; the next build gives what an undisturbed one gives', async () => {
    const workspace = coldWorkspace();
    // Each build but the first is also the one after a disturbed one.
    for (const [index, stage] of (scale.all ? allStages : short).entries()) {
      const build = start('build-lxc', workspace);
      await build.at(stage, programs[stage]);
      process.kill(whom(build.child.pid!), signal);
      const ended = await build.ended;
      if (signal === 'SIGKILL') expect(ended.signal).toBe('SIGKILL');
      else {
        expect(ended.exitCode).toBe(130);
        expect(ended.stdout).toContain('Stopped before the end');
        expect(stateOf(workspace).unfinished).toEqual([]);
      }
      await until(
        `the end of all processes after ${signal} in ${stage}`,
        () => processesIn(workspace).length === 0,
      );
      expect(stateOf(workspace)).toMatchObject(nothingBuilt);
      report({
        kind: 'build stopped',
        number: index + 1,
        where: `${stage}, ${what}`,
        result: 'nothing',
        problems: [],
      });
    }
    await expectGoodBuild(workspace);
  });
});

it('a second Ctrl-C is not needed, but does no harm', async () => {
  const workspace = filledWorkspace();
  const build = start('build-lxc', workspace);
  await build.at('lxc image', 'tar');
  process.kill(-build.child.pid!, 'SIGINT');
  process.kill(-build.child.pid!, 'SIGINT');
  expect((await build.ended).exitCode).toBe(130);
  await until('the end of all processes', () => processesIn(workspace).length === 0);
  expect(stateOf(workspace)).toMatchObject(nothingBuilt);
  await expectGoodBuild(workspace);
});

it('a build that was killed after its commit, before anything named the commit, does not hinder the next', async () => {
  const workspace = filledWorkspace();
  const build = start('build-lxc', workspace);
  await build.at('lxc image', 'tar');
  process.kill(build.child.pid!, 'SIGKILL');
  await build.ended;
  rmSync(join(workspace, '.treeline/cache/commits'), { recursive: true });
  await expectGoodBuild(workspace);
});

it('a host hook that was killed leaves none of its own programs', async () => {
  const workspace = filledWorkspace();
  const mine = temporaryDirectory();
  mkdirSync(join(mine, 'hooks/root.d'), { recursive: true });
  writeFileSync(join(mine, 'hooks/root.d/50-sleep'), '#!/bin/sh\nsleep 1000 &\nsleep 1001\n', {
    mode: 0o755,
  });
  const build = start('build-lxc', workspace, ['--overlay', mine]);
  await build.at('lxc tree', 'sleep');
  process.kill(build.child.pid!, 'SIGKILL');
  await build.ended;
  await until('the end of all processes', () => processesIn(workspace).length === 0);
  expect(stateOf(workspace)).toMatchObject(nothingBuilt);
});

describe('an update', () => {
  function change(): string[] {
    const mine = temporaryDirectory();
    mkdirSync(join(mine, 'rootfs/etc'), { recursive: true });
    writeFileSync(join(mine, 'rootfs/etc/motd'), 'changed\n');
    return ['--overlay', mine];
  }

  // Killed at a random moment: build-kills.
  it.each(scale.all ? (['SIGINT', 'SIGKILL'] as const) : (['SIGINT'] as const))(
    'stopped by %s while it makes deltas changes nothing; the next one works',
    async (signal) => {
      const workspace = builtWorkspace();
      const before = stateOf(workspace);
      const options = change();
      const update = start('build-update', workspace, options);
      await update.at('deltas', 'ostree');
      process.kill(update.child.pid!, signal);
      await update.ended;
      await until('the end of all processes', () => processesIn(workspace).length === 0);
      expect(stateOf(workspace)).toMatchObject({ refs: before.refs, output: before.output });

      const again = await runProgram('build-update', ['--workspace', workspace, ...smallTree, ...options]);
      expectSuccess(again);
      const after = stateOf(workspace);
      expect(after.refs[`${refPrefix}/lxc`]).not.toBe(before.refs[`${refPrefix}/lxc`]);
      expect(after.unfinished).toEqual([]);
      const index = JSON.parse(readFileSync(join(workspace, 'out/updates/index.json'), 'utf8')) as {
        refs: Record<string, { commit: string }>;
      };
      expect(index.refs[`${refPrefix}/lxc`]?.commit).toBe(after.refs[`${refPrefix}/lxc`]);
      checkRepository(workspace);
    },
  );
});

describe('a second build at the same time', () => {
  /** A layer whose hook waits until the test says go. */
  function waitingLayer(): { options: string[]; begun: string; go(): void } {
    const mine = temporaryDirectory();
    const [begun, go] = ['begun', 'go'].map((name) => join(mine, name)) as [string, string];
    mkdirSync(join(mine, 'hooks/root.d'), { recursive: true });
    const hook = join(mine, 'hooks/root.d/50-wait');
    writeFileSync(hook, `#!/bin/sh\n: > ${begun}\nuntil [ -e ${go} ]; do sleep 0.05; done\n`);
    chmodSync(hook, 0o755);
    return { options: ['--overlay', mine], begun, go: () => writeFileSync(go, '') };
  }

  it('is refused with the first one’s process, and the first one ends unharmed', async () => {
    const workspace = filledWorkspace();
    const { options, begun, go } = waitingLayer();
    const first = start('build-lxc', workspace, options);
    await until('the hook', () => existsSync(begun));
    for (const name of ['build-lxc', 'build-vm'] as const) {
      const second = await runProgram(name, ['--workspace', workspace, ...smallTree]);
      expectRefusal(second, {
        exitCode: 1,
        says: ['another build', `process ${first.child.pid}`],
        hint: ['--workspace DIR'],
      });
    }
    go();
    const ended = await first.ended;
    expectSuccess(ended);
    const state = stateOf(workspace);
    expect(Object.keys(state.refs)).toEqual([`${refPrefix}/lxc`]);
    expect(state.unfinished).toEqual([]);
    checkRepository(workspace);
  });

  it('in another workspace is none of its business', async () => {
    const { options, begun, go } = waitingLayer();
    const first = start('build-lxc', filledWorkspace(), options);
    await until('the hook', () => existsSync(begun));
    await expectGoodBuild(filledWorkspace());
    go();
    expect((await first.ended).exitCode).toBe(0);
  });
});
