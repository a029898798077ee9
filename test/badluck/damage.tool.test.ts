// oxlint-disable vitest/expect-expect -- expectRefusal, expectGoodBuild and their kin assert.
import { execFileSync } from 'node:child_process';
import {
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { expectRefusal, runProgram } from './program.ts';
import {
  buildSmall,
  builtWorkspace,
  expectGoodBuild,
  filledWorkspace,
  forgetUnpacked,
  refPrefix,
  smallTree,
  stateOf,
  warmUp,
} from './workspaces.ts';

beforeAll(() => warmUp());

/** The files of a directory that `choose` picks, with all below. */
function filesIn(directory: string, choose: (path: string) => boolean): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .map((path) => join(directory, path))
    .filter((path) => statSync(path).isFile() && choose(path));
}

describe('a damaged cache', () => {
  it('whose packages are gone is no hindrance where they are unpacked in the repository', async () => {
    const workspace = filledWorkspace();
    rmSync(join(workspace, '.treeline/cache/packages'), { recursive: true });
    await expectGoodBuild(workspace);
  });

  it('with a truncated package: it is fetched again; offline it is named', async () => {
    const workspace = filledWorkspace();
    forgetUnpacked(workspace);
    const packages = filesIn(join(workspace, '.treeline/cache/packages'), (path) => path.endsWith('.deb'));
    expect(packages).toHaveLength(1);
    truncateSync(packages[0]!, 5000);
    const offline = await buildSmall(workspace, ['--offline']);
    expectRefusal(offline, { exitCode: 1, says: ['busybox-static'], hint: ['without --offline'] });
    await expectGoodBuild(workspace);
  });

  it('with a package that somebody changed: it never enters a tree', async () => {
    const workspace = filledWorkspace();
    forgetUnpacked(workspace);
    const [path] = filesIn(join(workspace, '.treeline/cache/packages'), (name) => name.endsWith('.deb'));
    const bytes = readFileSync(path!);
    bytes[bytes.length >> 1]! ^= 1;
    writeFileSync(path!, bytes);
    await expectGoodBuild(workspace);
  });

  it.each(['rubbish', '[{"name":1}]'])(
    'with a remembered lock that says %j: packages are resolved again',
    async (text) => {
      const workspace = filledWorkspace();
      const locks = filesIn(join(workspace, '.treeline/cache'), (path) => path.includes('/locks/'));
      expect(locks).toHaveLength(1);
      writeFileSync(locks[0]!, text);
      await expectGoodBuild(workspace);
    },
  );

  it('with package lists cut off: they are fetched again', async () => {
    const workspace = filledWorkspace();
    rmSync(join(workspace, '.treeline/cache/apt'), { recursive: true });
    await expectGoodBuild(workspace);
  });

  it('with a remembered commit that is none: the tree is built again', async () => {
    const workspace = builtWorkspace();
    for (const path of filesIn(join(workspace, '.treeline/cache/commits'), () => true))
      writeFileSync(path, 'rubbish');
    await expectGoodBuild(workspace);
  });
});

describe('a damaged repository', () => {
  /** Removes the file object that holds busybox, by which no tree can do without. */
  function removeObject(workspace: string): void {
    const repo = join(workspace, '.treeline/repo');
    const listed = execFileSync(
      'ostree',
      [`--repo=${repo}`, 'ls', '--checksum', `${refPrefix}/lxc`, '/usr/bin/busybox'],
      { encoding: 'utf8' },
    );
    const checksum = /\b([0-9a-f]{64})\b/.exec(listed)![1]!;
    rmSync(join(repo, 'objects', checksum.slice(0, 2), `${checksum.slice(2)}.file`));
  }

  it.each([
    { where: 'image', forget: [] },
    { where: 'tree', forget: ['.treeline/cache/commits', '.treeline/repo/refs/heads/treeline'] },
  ])('is told where the $where needs it, with a way to mend it', async ({ forget }) => {
    const workspace = builtWorkspace();
    removeObject(workspace);
    for (const path of forget) rmSync(join(workspace, path), { recursive: true });
    const before = stateOf(workspace);
    const refused = await buildSmall(workspace, ['--flat']);
    const repository = join(workspace, '.treeline/repo');
    expectRefusal(refused, {
      exitCode: 1,
      says: [`the repository ${repository} is damaged`],
      hint: [`rm -r ${repository}/refs/heads/cache`],
    });
    expect(stateOf(workspace)).toEqual(before);

    execFileSync('sh', ['-c', /rm -r \S+ \S+(?=,)/.exec(refused.stderr)![0].replace('rm -r', 'rm -rf')]);
    execFileSync('ostree', [`--repo=${repository}`, 'prune', '--refs-only'], { stdio: 'ignore' });
    await expectGoodBuild(workspace);
  });

  it('whose configuration is gone does not lose the history silently', async () => {
    const workspace = builtWorkspace();
    const before = stateOf(workspace);
    rmSync(join(workspace, '.treeline/repo/config'));
    const ended = await buildSmall(workspace);
    expect(ended.stderr).not.toMatch(/\n\s+at /);
    expect(stateOf(workspace).refs).toEqual(before.refs);
  });
});

describe('damaged results', () => {
  it.each([
    {
      what: 'a manifest that is no JSON',
      damage: (path: string) => writeFileSync(path, '{'),
      name: 'manifest.json',
    },
    {
      what: 'a manifest of something else',
      damage: (path: string) => writeFileSync(path, '{"a":1}'),
      name: 'manifest.json',
    },
    { what: 'a truncated image', damage: (path: string) => truncateSync(path, 100), name: '.squashfs' },
    { what: 'a missing image', damage: (path: string) => rmSync(path), name: '.tar.zst' },
  ])('with $what are made again', async ({ damage, name }) => {
    const workspace = builtWorkspace();
    const before = stateOf(workspace);
    const [path] = filesIn(join(workspace, 'out'), (candidate) => candidate.endsWith(name));
    const sizes = statSync(path!).size;
    damage(path!);
    await expectGoodBuild(workspace);
    expect(stateOf(workspace)).toEqual(before);
    if (name !== 'manifest.json') expect(statSync(path!).size).toBe(sizes);
  });

  it('with an update index that is none are told with what to do', async () => {
    const workspace = builtWorkspace();
    const index = join(workspace, 'out/updates/index.json');
    execFileSync('mkdir', ['-p', join(workspace, 'out/updates')]);
    writeFileSync(index, 'rubbish');
    const ended = await runProgram('build-update', ['--workspace', workspace, ...smallTree]);
    expectRefusal(ended, { exitCode: 1, says: [index], hint: [''] });
    expect(ended.stderr).toContain('\nhint: ');
    expect(readFileSync(index, 'utf8')).toBe('rubbish');
  });

  it('of which is not known what was chosen for them are told with what to do', async () => {
    const workspace = builtWorkspace();
    const [choices] = filesIn(join(workspace, '.treeline/builds'), () => true);
    writeFileSync(choices!, '{');
    const ended = await runProgram('build-update', ['--workspace', workspace, ...smallTree]);
    expectRefusal(ended, { exitCode: 1, says: [choices!], hint: ['npm run build:'] });
    await expectGoodBuild(workspace);
  });
});

it('a lost signing key is not replaced silently', async () => {
  const workspace = builtWorkspace();
  const before = stateOf(workspace);
  const secret = join(workspace, '.treeline/keys/private-keys-v1.d');
  renameSync(secret, `${secret}.lost`);
  expectRefusal(await buildSmall(workspace), {
    exitCode: 1,
    says: ['.treeline/keys holds no secret key'],
    hint: ['backup'],
  });
  expect(stateOf(workspace)).toEqual(before);
  renameSync(`${secret}.lost`, secret);
  await expectGoodBuild(workspace);
});
