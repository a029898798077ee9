// oxlint-disable vitest/expect-expect -- expectRefusal asserts.
import { execFileSync, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { expectRefusal, expectSuccess, runProgram, script } from '../badluck/program.ts';
import {
  buildSmall,
  builtWorkspace,
  checkRepository,
  layers,
  refPrefix,
  stateOf,
  temporaryDirectory,
  undisturbedCommit,
  warmUp,
} from '../badluck/workspaces.ts';

beforeAll(() => warmUp());

const ref = `${refPrefix}/lxc`;
const clean = (workspace: string, ...options: string[]) =>
  runProgram('clean', ['--workspace', workspace, ...options]);

async function cleaned(workspace: string, ...options: string[]): Promise<string> {
  const ended = await clean(workspace, ...options);
  expectSuccess(ended);
  checkRepository(workspace);
  return ended.stdout;
}

async function built(workspace: string, ...options: string[]): Promise<string> {
  const ended = await buildSmall(workspace, options);
  expectSuccess(ended);
  return stateOf(workspace).refs[ref]!;
}

/** An overlay with one file; another text makes another commit. */
function overlay(directory: string, text: string): string[] {
  const file = join(directory, 'rootfs/usr/share/version');
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  return ['--overlay', directory];
}

/** Everything in the workspace but what every command writes: times and contents of its lock, and ostree's own. */
const everything = (workspace: string): string[] =>
  execFileSync('find', [join(workspace, '.treeline'), join(workspace, 'out'), '-printf', '%p %y %s\\n'], {
    encoding: 'utf8',
  })
    .split('\n')
    .filter((line) => !/\.treeline\/(lock|tmp|repo\/\.lock|repo\/tmp\S*) /.test(line))
    .map((line) => line.replace(/(\.treeline) d \d+$/, '$1'))
    .toSorted();

const aged = (path: string, days: number): void => {
  const time = Date.now() / 1000 - days * 86_400;
  utimesSync(path, time, time);
};
const inRepository = (workspace: string, ...args: string[]): string =>
  execFileSync('ostree', [`--repo=${join(workspace, '.treeline/repo')}`, ...args], { encoding: 'utf8' });
const hasCommit = (workspace: string, id: string): boolean =>
  existsSync(join(workspace, '.treeline/repo/objects', id.slice(0, 2), `${id.slice(2)}.commit`));

describe('npm run clean', () => {
  it('removes nothing that the published image is made of: offline, a build makes the same anew', async () => {
    const workspace = builtWorkspace();
    await cleaned(workspace, '--days', '0');
    expect(await built(workspace, '--offline')).toBe(undisturbedCommit('lxc'));

    const repo = join(workspace, '.treeline/repo');
    for (const path of ['refs/heads/treeline', '../cache/commits'])
      rmSync(join(repo, path), { recursive: true });
    const ended = await buildSmall(workspace, ['--offline', '--json']);
    expect(stateOf(workspace).refs[ref]).toBe(undisturbedCommit('lxc'));
    const stages = ended.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { type: string; stage?: string })
      .filter(({ type }) => type === 'stage-start');
    // Neither packages nor their merge had to be made again.
    expect(stages.filter(({ stage }) => /unpack|merge/.test(stage!))).toEqual([]);
  });

  it('goes by the time of the last use', async () => {
    const workspace = builtWorkspace();
    const repo = join(workspace, '.treeline/repo');
    const packages = join(workspace, '.treeline/cache/packages');
    const head = undisturbedCommit('lxc');
    for (const [name, days] of [
      ['a', 40],
      ['b', 20],
      ['c', 2],
    ] as const) {
      writeFileSync(join(packages, `${name.repeat(64)}.deb`), 'x'.repeat(10_000));
      aged(join(packages, `${name.repeat(64)}.deb`), days);
      inRepository(workspace, 'refs', `--create=cache/merged/${name}`, head);
      aged(join(repo, 'refs/heads/cache/merged', name), days);
    }
    const left = (): string[][] => [
      readdirSync(packages)
        .filter((name) => /^(\w)\1/.test(name))
        .map((name) => name[0]!),
      readdirSync(join(repo, 'refs/heads/cache/merged')).filter((name) => name.length === 1),
    ];
    expect(await cleaned(workspace)).toMatch(/packages +1 of 4/);
    expect(left()).toEqual([
      ['b', 'c'],
      ['b', 'c'],
    ]);
    await cleaned(workspace, '--days', '10');
    expect(left()).toEqual([['c'], ['c']]);
    await cleaned(workspace, '--days', '0');
    expect(left()).toEqual([[], []]);
    expect(stateOf(workspace).refs[ref]).toBe(head);
  });

  it('keeps the history that the next update starts from, and a person’s own refs, and removes what is older', async () => {
    const workspace = builtWorkspace();
    const own = temporaryDirectory();
    const ids = [undisturbedCommit('lxc')];
    inRepository(workspace, 'refs', '--create=mine/first', ids[0]!);
    for (const text of ['one', 'two', 'three'])
      ids.push(await built(workspace, '--offline', '--keep', '1', ...overlay(own, text)));
    await cleaned(workspace);
    expect(ids.map((id) => hasCommit(workspace, id))).toEqual([true, true, true, true]);
    const said = await cleaned(workspace, '--days', '0');
    expect(said).toMatch(/commits +1 of 4/);
    expect(ids.map((id) => hasCommit(workspace, id))).toEqual([true, false, true, true]);

    overlay(own, 'four');
    const update = await runProgram('build-update', [
      '--workspace',
      workspace,
      '--overlays',
      layers,
      '--offline',
    ]);
    expectSuccess(update);
    const index = JSON.parse(readFileSync(join(workspace, 'out/updates/index.json'), 'utf8')) as {
      deltas: { from: string | null; to: string }[];
    };
    expect(index.deltas.map(({ from }) => from)).toContain(ids[3]);
    expect(index.deltas[0]!.to).toBe(stateOf(workspace).refs[ref]);

    // Everything that the index names is there for the next one.
    await cleaned(workspace, '--all');
    expect(hasCommit(workspace, ids[3]!)).toBe(true);
    expect(hasCommit(workspace, ids[2]!)).toBe(false);
  });

  it('gives back everything with --all that a build can make again, and never keys, choices and heads', async () => {
    const workspace = builtWorkspace();
    const before = stateOf(workspace);
    const state = join(workspace, '.treeline');
    const kept = ['keys', 'builds'].map((name) => readdirSync(join(state, name), { recursive: true }));
    expect(await cleaned(workspace, '--all')).toMatch(/^Freed \d/m);
    expect(
      readdirSync(join(state, 'cache')).flatMap((name) => readdirSync(join(state, 'cache', name))),
    ).toEqual([]);
    expect(inRepository(workspace, 'refs').trim()).toBe(ref);
    expect(stateOf(workspace)).toEqual(before);
    expect(['keys', 'builds'].map((name) => readdirSync(join(state, name), { recursive: true }))).toEqual(
      kept,
    );
    rmSync(join(workspace, 'out'), { recursive: true });
    expect(await built(workspace)).toBe(undisturbedCommit('lxc'));
  });

  it('says with --dry-run what would go, and changes nothing', async () => {
    const workspace = builtWorkspace();
    const before = everything(workspace);
    const said = await cleaned(workspace, '--dry-run', '--all');
    expect(said).toMatch(/^Would free \d/m);
    expect(said).toMatch(/packages +\d+ of \d+/);
    expect(everything(workspace)).toEqual(before);
    const freed = (text: string): string => /(?:free|Freed) (\d.*)/.exec(text)![1]!;
    expect(freed(await cleaned(workspace, '--all'))).toBe(freed(said));
  });

  it('keeps in the copy that npm run serve made what the repository keeps, and removes it when it was not served for so long', async () => {
    const workspace = builtWorkspace();
    const archive = join(workspace, '.treeline/archive');
    mkdirSync(archive);
    execFileSync('ostree', [`--repo=${archive}`, 'init', '--mode=archive']);
    execFileSync('ostree', [`--repo=${archive}`, 'pull-local', join(workspace, '.treeline/repo'), ref]);
    const superseded = execFileSync(
      'ostree',
      [`--repo=${archive}`, 'commit', '--orphan', `--tree=dir=${join(workspace, 'out')}`],
      { encoding: 'utf8' },
    ).trim();
    expect(await cleaned(workspace)).toMatch(
      /served copy +1 stays\n(.*\n)* +served copy +what the repository lost +\d/,
    );
    expect(
      existsSync(join(archive, 'objects', superseded.slice(0, 2), `${superseded.slice(2)}.commit`)),
    ).toBe(false);
    execFileSync('ostree', [`--repo=${archive}`, 'fsck', '--quiet']);
    expect(await cleaned(workspace, '--days', '0')).toMatch(/served copy +1 of 1/);
    expect(existsSync(archive)).toBe(false);
  });

  it('removes what interrupted commands left: unfinished work, and objects that nothing leads to', async () => {
    const workspace = builtWorkspace();
    const unfinished = ['.treeline/tmp/tree/root', '.treeline/prove/x', 'out/.staging/lxc'];
    for (const path of unfinished) mkdirSync(join(workspace, path), { recursive: true });
    const lost = inRepository(workspace, 'commit', '--orphan', `--tree=dir=${join(workspace, 'out')}`).trim();
    await cleaned(workspace);
    for (const path of unfinished) expect(existsSync(join(workspace, path))).toBe(false);
    expect(hasCommit(workspace, lost)).toBe(true);
    await cleaned(workspace, '--days', '0');
    expect(hasCommit(workspace, lost)).toBe(false);
  });
});

it('npm run clean that is killed while it removes has removed less: builds go on, and the next one ends it', async () => {
  const workspace = builtWorkspace();
  const args = [script('clean'), '--workspace', workspace, '--all', '--json'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  for await (const chunk of child.stdout) {
    said += String(chunk);
    if (said.includes('"type":"stage-start","stage":"remove"')) child.kill('SIGKILL');
  }
  expect(said).not.toContain('"type":"result"');
  checkRepository(workspace);
  rmSync(join(workspace, 'out'), { recursive: true });
  expect(await built(workspace)).toBe(undisturbedCommit('lxc'));
  await cleaned(workspace, '--all');
  expect(inRepository(workspace, 'refs').trim()).toBe(ref);
});

describe('npm run clean changes nothing', () => {
  const refuses = async (workspace: string, says: readonly string[], hint: string): Promise<void> => {
    const before = everything(workspace);
    for (const option of ['--all', '--days=0'])
      expectRefusal(await clean(workspace, option), { exitCode: 1, says, hint: [hint] });
    expect(everything(workspace)).toEqual(before);
  };

  it('where a ref names a commit that is not there', async () => {
    const workspace = builtWorkspace();
    const id = undisturbedCommit('lxc');
    rmSync(join(workspace, '.treeline/repo/objects', id.slice(0, 2), `${id.slice(2)}.commit`));
    await refuses(workspace, [id, `refs/heads/${ref}`], 'ostree fsck');
  });

  it('where a part of a head is missing', async () => {
    const workspace = builtWorkspace();
    const objects = join(workspace, '.treeline/repo/objects');
    const listed = inRepository(workspace, 'ls', '--checksum', '-d', ref, '/usr/share');
    const tree = /\b([0-9a-f]{64})\b/.exec(listed)![1]!;
    rmSync(join(objects, tree.slice(0, 2), `${tree.slice(2)}.dirtree`));
    await refuses(workspace, ['is damaged'], 'ostree fsck');
  });

  it('where the repository’s configuration is gone', async () => {
    const workspace = builtWorkspace();
    rmSync(join(workspace, '.treeline/repo/config'));
    await refuses(workspace, ['it has no config'], 'backup');
  });

  it('where the update index is none: it tells what the next update starts from', async () => {
    const workspace = builtWorkspace();
    mkdirSync(join(workspace, 'out/updates'));
    writeFileSync(join(workspace, 'out/updates/index.json'), '{');
    await refuses(workspace, ['out/updates/index.json'], 'Restore it');
  });

  it('while a build uses the workspace', async () => {
    const workspace = builtWorkspace();
    const lock = join(workspace, '.treeline/lock');
    const ended = await runProgram('clean', ['--workspace', workspace], { under: ['flock', lock] });
    expectRefusal(ended, { exitCode: 1, says: ['another build uses this workspace'], hint: ['Wait for it'] });
  });

  it('where nothing was built, and does not begin a workspace there', async () => {
    const workspace = temporaryDirectory();
    expectRefusal(await clean(workspace), {
      exitCode: 2,
      says: ['nothing was built there'],
      hint: ['--workspace'],
    });
    expect(readdirSync(workspace)).toEqual([]);
  });
});

describe('what can be done without is no obstacle for npm run clean', () => {
  it('a lock that cannot be read is told', async () => {
    const workspace = builtWorkspace();
    const directory = join(workspace, 'out/debian-12/x86_64/lxc/latest');
    writeFileSync(join(directory, 'lock.json'), '{');
    expect(await cleaned(workspace)).toContain('lock.json');
  });

  it('an image without a release is told: nobody knows what it is made of', async () => {
    const workspace = builtWorkspace();
    renameSync(join(workspace, 'out'), join(workspace, 'elsewhere'));
    expect(await cleaned(workspace, '--dry-run')).toContain(`holds no release of ${ref}`);
    const found = await cleaned(workspace, '--dry-run', '--output', join(workspace, 'elsewhere'));
    expect(found).not.toContain('holds no release');
  });

  it('a ref of the cache whose commit is gone goes', async () => {
    const workspace = builtWorkspace();
    const path = join(workspace, '.treeline/repo/refs/heads/cache/merged/broken');
    writeFileSync(path, `${'0'.repeat(64)}\n`);
    await cleaned(workspace);
    expect(existsSync(path)).toBe(false);
  });
});
