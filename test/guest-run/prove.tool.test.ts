// oxlint-disable vitest/expect-expect -- expectRefusal asserts.
import { chownSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Manifest } from '../../src/model.ts';
import { expectRefusal, runProgram } from '../badluck/program.ts';
import { temporaryDirectory } from '../helpers/host.ts';
import { manifestOf } from '../helpers/manifest.ts';
import { lacks } from '../helpers/needs.ts';

const commitOf = (version: string): string => version.replace('.', '').padEnd(64, '0');

/** A workspace with releases of a container that have no files, and an index that offers one of them. */
function makeWorkspace(versions: readonly string[], offered: string | undefined): string {
  const workspace = temporaryDirectory();
  for (const version of versions) {
    const directory = join(workspace, 'out/debian-12/x86_64/lxc', version);
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'manifest.json'), JSON.stringify(manifest(version)));
  }
  mkdirSync(join(workspace, 'out/updates'), { recursive: true });
  const refs =
    offered === undefined ? {} : { [ref]: { commit: commitOf(offered), version: offered, timestamp: 0 } };
  writeFileSync(join(workspace, 'out/updates/index.json'), JSON.stringify({ format: 2, refs, deltas: [] }));
  return workspace;
}
const ref = 'treeline/debian-12/x86_64/lxc';
const manifest = (version: string): Manifest => manifestOf({ ref, version, commit: commitOf(version) });

const proofOf = (workspace: string, version: string): string =>
  join(workspace, 'out/debian-12/x86_64/lxc', version, 'proof.json');

const prove = (workspace: string, options: readonly string[] = [], under: readonly string[] = []) =>
  runProgram('prove', ['--workspace', workspace, ...options], { under });

const noRoot = lacks({ programs: ['setpriv', 'lxc-start', 'ip', 'busybox'], root: true });

describe('npm run prove', () => {
  it('wants a release', async () => {
    expectRefusal(await prove(temporaryDirectory()), {
      exitCode: 2,
      says: ['Cannot prove a release', 'holds none'],
      hint: ['npm run build:vm'],
    });
  });

  it.each([
    ['a target without a release', ['--target', 'lxc', '--target', 'ovz'], 'holds none for ovz'],
    ['a base without a release', ['--base', 'alpine'], 'on base alpine'],
    ['too little memory', ['--memory', '3'], 'at least 64'],
    ['a time limit that is no number', ['--timeout', 'long'], '--timeout long'],
  ])('refuses %s', async (_, options, says) => {
    const ended = await prove(makeWorkspace(['20260109.0'], undefined), options);
    expectRefusal(ended, { exitCode: 2, says: [says], hint: [''] });
  });

  it('says by exit code 3 and in a report that one release is not enough', async () => {
    const workspace = makeWorkspace(['20260109.0'], undefined);
    const { exitCode, stdout } = await prove(workspace);
    expect({ exitCode, stdout }).toEqual({
      exitCode: 3,
      stdout: expect.stringContaining('nothing to prove'),
    });
    expect(stdout).toContain('--keep');
    expect(JSON.parse(readFileSync(proofOf(workspace, '20260109.0'), 'utf8'))).toMatchObject({
      format: 1,
      ref,
      version: '20260109.0',
      result: 'nothing',
      ways: [],
    });
  });

  it('fails where the index does not offer the newest release', async () => {
    const workspace = makeWorkspace(['20260109.0', '20260109.1'], '20260109.0');
    expectRefusal(await prove(workspace), {
      exitCode: 1,
      says: ['20260109.1: the update index offers commit 202601090'],
      hint: ['npm run build-update'],
    });
  });

  it.skipIf(noRoot !== undefined)(
    `fails where containers cannot be started, and no earlier report stands for it${noRoot === undefined ? '' : ` (skipped: ${noRoot})`}`,
    async () => {
      const workspace = makeWorkspace(['20260109.0', '20260109.1'], '20260109.1');
      writeFileSync(proofOf(workspace, '20260109.1'), '{"result": "proved"}');
      // Whoever runs it below may write there.
      for (const path of ['.', ...(readdirSync(workspace, { recursive: true }) as string[])])
        chownSync(join(workspace, path), 65_534, 65_534);
      const nobody = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups'];
      expectRefusal(await prove(workspace, [], nobody), {
        exitCode: 1,
        says: [`Cannot prove ${ref} here`, 'only root may'],
        hint: ['--target'],
      });
      expect(existsSync(proofOf(workspace, '20260109.1'))).toBe(false);
    },
  );
});
