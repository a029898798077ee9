import { describe, expect, it } from 'vitest';
import type { Thing } from '../../src/clean/plan.ts';
import { parseArguments } from '../../src/cli/arguments.ts';
import { presentCleaned, readCleanOptions } from '../../src/cli/clean.ts';
import { openWorkspace } from '../../src/host/workspace.ts';
import { errorOf, temporaryDirectory } from '../helpers/host.ts';
import { layFiles } from '../helpers/trees.ts';

const options = async (line: string, settings = {}, workspace = openWorkspace('/nonexistent')) =>
  readCleanOptions(parseArguments(['clean', ...line.split(' ').filter(Boolean)], {}), {
    settings,
    workspace,
    now: 5,
  });

describe('the options of npm run clean', () => {
  it('have defaults', async () => {
    expect(await options('')).toEqual({
      days: 30,
      all: false,
      now: 5,
      dryRun: false,
      deltas: 1,
      lockFiles: [],
    });
  });

  it('choose what goes; settings tell what updates start from, and the lock that is in use', async () => {
    expect(await options('--days 0 --dry-run', { deltas: 4, lock: 'my.lock.json' })).toMatchObject({
      days: 0,
      dryRun: true,
      deltas: 4,
      lockFiles: ['/nonexistent/my.lock.json'],
    });
  });

  it('count the locks that images were built from as in use', async () => {
    const workspace = openWorkspace(temporaryDirectory());
    const choices = { base: 'debian-12', arch: 'x86_64', target: 'vm', asked: { lock: '/my/lock.json' } };
    layFiles(workspace.state, { 'builds/treeline-debian-12-x86_64-vm.json': JSON.stringify(choices) });
    expect(await options('', {}, workspace)).toMatchObject({ lockFiles: ['/my/lock.json'] });
  });

  it.each(['--days -1', '--days=-1', '--days soon', '--days 1.5', '--all --days 3'])(
    'are refused: %s',
    async (line) => {
      const refused = await errorOf(options(line));
      expect(refused).toMatchObject({ code: 'usage', hint: expect.stringMatching(/./) });
    },
  );
});

const thing = (kind: Thing['kind'], bytes: number): Thing => ({
  kind,
  name: '/x',
  bytes,
  lastUsed: 0,
  needed: false,
});
const nothing = { repository: '/r', refs: [], commits: [], bytes: 0 };

describe('what npm run clean says', () => {
  it('is what went and what stays, by kind, and how much that was', () => {
    const cleaned = {
      removed: [thing('packages', 1000), thing('packages', 500), thing('merges', 0)],
      stays: [thing('packages', 10), thing('package lists', 10)],
      repository: { ...nothing, bytes: 8_000_000 },
      archive: nothing,
      freed: 8_001_500,
      left: 50,
    };
    expect(presentCleaned(cleaned, { dryRun: false, state: '/w/.treeline' })).toEqual({
      type: 'result',
      title: 'Freed 7.6 MiB',
      rows: [
        { label: 'merges', value: '1 of 1' },
        { label: 'package lists', value: '1 stays' },
        { label: 'packages', value: '2 of 3', bytes: 1500 },
        { label: 'repository', value: 'what only these needed', bytes: 8_000_000 },
        { label: 'left', value: '/w/.treeline', path: '/w/.treeline', bytes: 50 },
      ],
      next: [],
    });
    expect(presentCleaned(cleaned, { dryRun: true, state: '/w/.treeline' })).toMatchObject({
      title: 'Would free 7.6 MiB',
    });
  });

  it('is that there was nothing', () => {
    const cleaned = { removed: [], stays: [], repository: nothing, archive: nothing, freed: 0, left: 50 };
    expect(presentCleaned(cleaned, { dryRun: true, state: '/w/.treeline' })).toMatchObject({
      title: 'Nothing to remove',
    });
  });
});
