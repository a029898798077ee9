import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { main } from '../../src/cli.ts';
import { takeLock } from '../../src/host/lock.ts';
import { openWorkspace } from '../../src/host/workspace.ts';
import { temporaryDirectory } from '../helpers/host.ts';
import { layFiles } from '../helpers/trees.ts';

const home = join(import.meta.dirname, '../..');

/** What one command prints, and how it ends; npm's own variables are out of the way. */
async function run(...argv: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const printed = { stdout: '', stderr: '' };
  const spies = (['stdout', 'stderr'] as const).map((name) =>
    vi.spyOn(process[name], 'write').mockImplementation((text) => {
      printed[name] += String(text);
      return true;
    }),
  );
  for (const name of Object.keys(process.env).filter((key) => key.startsWith('npm_config_')))
    vi.stubEnv(name, undefined);
  onTestFinished(() => void vi.unstubAllEnvs());
  try {
    return { code: await main(argv, home), ...printed };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

describe('the exit code', () => {
  it('is 2 for wrong usage, with the error and its hint on stderr', async () => {
    const { code, stdout, stderr } = await run('build', '--offlien');
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toMatch(
      /^error: Cannot use the option --offlien: build has no such option\nhint: Did you mean --offline\?/,
    );
    expect(stderr).not.toContain(' at ');
  });

  it('is 0 for help, which names the options', async () => {
    const { code, stdout } = await run('build', '--help');
    expect([code, stdout]).toEqual([0, expect.stringContaining('--target NAME')]);
  });

  it('is 1 for an update of what was never built, and nothing is made but the log', async () => {
    const workspace = temporaryDirectory();
    const { code, stderr } = await run('build-update', '--workspace', workspace);
    expect(code).toBe(1);
    expect(stderr).toContain('nothing was built before');
    expect(stderr).toContain('hint: Build first: npm run build:vm');
    expect(existsSync(openWorkspace(workspace).repository)).toBe(false);
    expect(readdirSync(join(workspace, 'out'))).toEqual([]);
  });

  it('is 2 for a mistake in treeline.yaml', async () => {
    const workspace = layFiles(temporaryDirectory(), { 'treeline.yaml': 'keep: x\n' });
    const { code, stderr } = await run('build', '--target', 'vm', '--workspace', workspace);
    expect(code).toBe(2);
    expect(stderr).toContain(`${workspace}/treeline.yaml:1: keep`);
  });

  it('is 1 where another build holds the workspace', async () => {
    const workspace = temporaryDirectory();
    const { lockFile, state } = openWorkspace(workspace);
    layFiles(state, { tmp: null });
    const lock = await takeLock(lockFile, 'build');
    const { code, stderr } = await run('build', '--target', 'lxc', '--workspace', workspace);
    await lock.release();
    expect(code).toBe(1);
    expect(stderr).toContain('Cannot build: another build uses this workspace');
  });
});

describe('what is printed', () => {
  it('is one JSON line for an error with --json', async () => {
    const { code, stdout, stderr } = await run('build-update', '--json', '--workspace', temporaryDirectory());
    expect([code, stderr]).toEqual([1, '']);
    const lines = stdout.split('\n');
    expect(lines.pop()).toBe('');
    const events = lines.map((line) => JSON.parse(line) as { type: string; code?: string });
    expect(events.at(-1)).toMatchObject({ type: 'error', code: 'update' });
  });

  it('names the log of a command that builds, which tells the story', async () => {
    const workspace = temporaryDirectory();
    const { stderr } = await run(
      'build',
      '--target',
      'lxc',
      '--workspace',
      workspace,
      '--offline',
      '--no-ssh-key',
    );
    const log = /^log: (.*)$/m.exec(stderr)![1]!;
    expect(log.startsWith(openWorkspace(workspace).logs)).toBe(true);
    const story = readFileSync(log, 'utf8');
    expect(story).toContain(
      'Building target lxc on base debian (the default: this workspace has no treeline.yaml) with services sshd',
    );
    expect(story).toContain('this workspace has no package lists yet');
  });

  it('is the merged recipe with explain, and nothing is written', async () => {
    const workspace = temporaryDirectory();
    const { code, stdout } = await run('explain', '--target', 'lxc', '--json', '--workspace', workspace);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ ref: 'treeline/debian-12/x86_64/lxc' });
    expect(readdirSync(workspace)).toEqual([]);
  });

  it('is, before the recipe, which image it is of and who chose the base', async () => {
    const workspace = layFiles(temporaryDirectory(), { 'treeline.yaml': 'base: debian-12\n' });
    const firstLine = async (...more: string[]) =>
      (await run('explain', '--target', 'lxc', '--workspace', workspace, ...more)).stdout.split('\n')[0];
    expect(await firstLine()).toBe(
      'Recipe of target lxc on base debian-12 (treeline.yaml) with services sshd',
    );
    expect(await firstLine('--base', 'debian', '--service', 'sshd-')).toBe(
      'Recipe of target lxc on base debian (--base) with no services',
    );
  });

  it('says what to build where there is no image to boot', async () => {
    const { code, stderr } = await run('boot', '--workspace', temporaryDirectory());
    expect([code, stderr]).toEqual([2, expect.stringContaining('hint: Build one first: npm run build:vm')]);
  });
});

describe('build', () => {
  it('clears what an interrupted build left, keys and cache kept', async () => {
    const root = temporaryDirectory();
    const workspace = openWorkspace(root);
    layFiles(root, {
      '.treeline/tmp/tree-vm/half': 'x',
      'out/.staging/vm/half.img': 'x',
      '.treeline/cache/kept': 'x',
    });
    const { code } = await run('build', '--target', 'lxc', '--workspace', root, '--offline', '--no-ssh-key');
    expect(code).toBe(1);
    expect(existsSync(join(workspace.temporary, 'tree-vm'))).toBe(false);
    expect(existsSync(join(workspace.output, '.staging/vm'))).toBe(false);
    expect(existsSync(join(workspace.cache, 'kept'))).toBe(true);
  });

  it('says how to get package lists where it is to build offline without them', async () => {
    const { code, stderr } = await run(
      'build',
      '--target',
      'lxc',
      '--workspace',
      temporaryDirectory(),
      '--offline',
      '--no-ssh-key',
    );
    expect([code, stderr]).toEqual([1, expect.stringContaining('hint: Build once without --offline')]);
  });

  it('names the unknown service and the nearest known one', async () => {
    const { code, stderr } = await run(
      'build',
      '--target',
      'lxc',
      '--workspace',
      temporaryDirectory(),
      '--service',
      'shsd',
      '--no-ssh-key',
    );
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/shsd[\s\S]*sshd/);
  });
});

describe('the keys of a workspace', () => {
  const rows = (stdout: string): string[] =>
    (JSON.parse(stdout.trim().split('\n').at(-1)!) as { rows: { label: string }[] }).rows.map(
      ({ label }) => label,
    );

  it('are listed, and exchanged step by step; a warning says what the last step means', async () => {
    const workspace = temporaryDirectory();
    const keys = (...words: string[]) => run('keys', ...words, '--workspace', workspace, '--json');
    expect((await keys()).stdout).toContain('No keys yet');
    expect(existsSync(openWorkspace(workspace).keys)).toBe(false);
    expect(rows((await keys('rotate')).stdout)).toEqual(['signs', 'signs']);
    const { code, stdout } = await keys('retire');
    expect(code).toBe(0);
    expect(stdout).toContain('cannot be updated any more');
    expect(rows(stdout)).toEqual(['not in use', 'signs']);
    expect(rows((await keys()).stdout)).toEqual(['not in use', 'signs']);
    expect((await keys('retire')).code).toBe(1);
    expect((await keys('retier')).code).toBe(2);
  });

  it('that treeline.yaml names are exchanged there', async () => {
    const workspace = layFiles(temporaryDirectory(), { 'treeline.yaml': 'sign-key: [me]\n' });
    const { code, stderr } = await run('keys', 'rotate', '--workspace', workspace);
    expect([code, stderr]).toEqual([2, expect.stringContaining('treeline.yaml signs with me')]);
  });
});
