import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { checkout, expectSuccess, runProgram, script } from '../badluck/program.ts';
import type { State } from '../badluck/workspaces.ts';
import {
  builtWorkspace,
  checkRepository,
  fileDirectory,
  smallTree,
  stateOf,
  warmUp,
} from '../badluck/workspaces.ts';
import { seededRandom } from './random.ts';
import { report, scale, timeIsOver, wanted } from './scale.ts';

const random = seededRandom(scale.seed);
const points = Array.from({ length: scale.kills }, (_, index) => ({
  number: index + 1,
  fraction: random.fraction(),
}));

describe('build-update, killed with all its processes at a random moment', () => {
  let options: string[];
  /** Milliseconds that it takes undisturbed. */
  let length: number;
  let before: State;
  let after: State;

  beforeAll(async () => {
    await warmUp();
    const layer = fileDirectory();
    mkdirSync(join(layer, 'rootfs/etc'), { recursive: true });
    writeFileSync(join(layer, 'rootfs/etc/motd'), 'changed\n');
    options = [...smallTree, '--overlay', layer];
    const workspace = builtWorkspace(fileDirectory());
    before = stateOf(workspace);
    const began = performance.now();
    expectSuccess(await runProgram('build-update', ['--workspace', workspace, ...options]));
    length = performance.now() - began;
    after = stateOf(workspace);
    if (isSame(after.refs, before.refs)) throw new Error('the update changed nothing');
  });

  it.for(wanted(points))(
    'leaves a whole repository, and the next run gives what an undisturbed one gives (kill $number)',
    async ({ number, fraction }, context) => {
      context.skip(timeIsOver(), 'no time is left');
      const workspace = builtWorkspace();
      const where = `after ${Math.round(length * fraction)} of ${Math.round(length)} ms`;
      await killBuild(['--workspace', workspace, ...options], length * fraction);
      const { refs } = stateOf(workspace);
      const problems: string[] = [];
      const check = async (what: string, work: () => unknown): Promise<void> => {
        try {
          await work();
        } catch (error) {
          problems.push(`${what}: ${(error as Error).message}`);
        }
      };
      await check('the repository', () => checkRepository(workspace));
      await check('its refs', () => expect([before.refs, after.refs]).toContainEqual(refs));
      await check('the next run', async () =>
        expectSuccess(await runProgram('build-update', ['--workspace', workspace, ...options])),
      );
      await check('what the next run made', () =>
        expect(nameless(stateOf(workspace))).toEqual(nameless(after)),
      );
      await check('the index', () => expect(publishedRefs(workspace)).toEqual(after.refs));
      await check('the repository after the next run', () => checkRepository(workspace));
      report({
        kind: 'build killed',
        number,
        where,
        result: isSame(refs, before.refs) ? 'old' : 'new',
        problems,
      });
      expect(problems).toEqual([]);
    },
  );
});

async function killBuild(options: readonly string[], milliseconds: number): Promise<void> {
  const child = spawn(process.execPath, [script('build-update'), ...options], {
    cwd: checkout,
    detached: true,
    stdio: 'ignore',
  });
  const ended = once(child, 'exit');
  await Promise.race([ended, sleep(milliseconds)]);
  try {
    process.kill(-child.pid!, 'SIGKILL');
  } catch {
    // All of it had ended.
  }
  await ended;
}

/** A delta holds the time when it was made (ostree-repo-static-delta-compilation.c), and the signature is named by the index. */
const nameless = (state: State): State => ({
  ...state,
  output: state.output.map((path) => path.replace(/index-\w+\.sig$/, 'index-….sig')),
});

const isSame = (a: State['refs'], b: State['refs']): boolean => JSON.stringify(a) === JSON.stringify(b);

function publishedRefs(workspace: string): Record<string, string> {
  const { refs } = JSON.parse(readFileSync(join(workspace, 'out/updates/index.json'), 'utf8')) as {
    refs: Record<string, { commit: string }>;
  };
  return Object.fromEntries(Object.entries(refs).map(([ref, { commit }]) => [ref, commit]));
}
