import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Event } from '../../src/host/events.ts';
import { openWorkspace } from '../../src/host/workspace.ts';
import { bridgeName } from '../../src/prove/bridge.ts';
import type { ProofReport } from '../../src/prove/report.ts';
import { measured, seconds } from './figures.ts';
import { findDelta, givenImages } from './given.ts';
import type { BuiltVersion } from './images.ts';
import { flipByte } from './server.ts';

const script = join(import.meta.dirname, '../../scripts/prove.mjs');

/** A workspace that has nothing but what was published, and can be changed. */
let workspace: string;
beforeEach(async () => {
  workspace = await mkdtemp(join(tmpdir(), 'treeline-prove-'));
});
afterEach(() => rm(workspace, { recursive: true, force: true }));

/** `npm run prove`, with a program that looks at each event. */
async function prove(
  options: readonly string[],
  look: (event: Event, child: { pid?: number | undefined }) => void = () => {},
) {
  const child = execa('node', [script, '--workspace', workspace, '--json', ...options], {
    reject: false,
    stdin: 'ignore',
  });
  const events: (Event | { type: 'error'; message: string; output?: string })[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => {
    const event = JSON.parse(line) as Event;
    events.push(event);
    look(event, child);
  });
  const { exitCode, stderr } = await child;
  const stages = events.flatMap((event) => (event.type === 'stage-end' ? [event.stage] : []));
  return { exitCode, stderr, events, stages, last: events.at(-1) };
}

const steps = ['prepare', 'start', 'upgrade', 'restart', 'rollback', 'return'];

const { images, versions, skipped, note } = await givenImages([
  'lxc-start',
  'lxc-attach',
  'ip',
  'busybox',
  'chattr',
]);

describe.skipIf(skipped)(`npm run prove, for containers${note}`, () => {
  const { first, second } = versions;
  const where = ['--target', 'lxc', '--base', 'debian'];
  /** By hard links: what is changed in it must be made anew. */
  const copyOutput = (): Promise<unknown> => execa('cp', ['-al', join(images.workspace, 'out'), workspace]);
  const inWorkspace = ({ directory }: BuiltVersion): string => directory.replace(images.workspace, workspace);
  const readProof = async (): Promise<ProofReport> =>
    JSON.parse(await readFile(join(inWorkspace(second.lxc), 'proof.json'), 'utf8')) as ProofReport;

  /** Programs that work for the workspace, its unfinished work, and our bridges. */
  async function leftovers(): Promise<string[]> {
    const { stdout: processes } = await execa('pgrep', ['-f', '-a', workspace], { reject: false });
    const { stdout: links } = await execa('ip', ['-brief', 'link']);
    const state = await readdir(join(workspace, '.treeline'));
    return [
      ...processes.split('\n').filter((line) => line !== '' && !line.includes('pgrep')),
      ...links.split('\n').filter((line) => line.startsWith(bridgeName(openWorkspace(workspace)))),
      ...state.filter((name) => name === 'prove'),
    ];
  }

  it('upgrades the release before, rolls it back, and reports it beside the new release', async () => {
    await copyOutput();
    const started = performance.now();
    const { exitCode, stages, last, stderr } = await prove(where);
    measured('npm run prove for a container, one way', seconds(performance.now() - started));
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    const { version, commit } = first.lxc.manifest;
    expect(stages).toEqual(steps.map((step) => `lxc ${version} ${step}`));
    expect(last).toMatchObject({ type: 'result', title: expect.stringMatching(/: proved$/) });
    const delta = await findDelta(images, first.lxc, second.lxc);
    const proof = await readProof();
    expect(proof).toMatchObject({
      result: 'proved',
      commit: second.lxc.manifest.commit,
      guest: { kind: 'container' },
      ways: [{ result: 'proved', from: { version, commit } }],
    });
    expect(proof.ways[0]!.steps.map(({ step }) => step)).toEqual(steps);
    expect(proof.ways[0]!.downloads).toContainEqual({ file: delta.file, bytes: delta.bytes });
    expect(await leftovers()).toEqual([]);
  });

  it('fails where machines would not get the update, and says at which step and why', async () => {
    await copyOutput();
    const delta = await findDelta(images, first.lxc, second.lxc);
    const path = join(workspace, 'out/updates', delta.file);
    const damaged = flipByte(await readFile(path));
    await rm(path);
    await writeFile(path, damaged);
    const { exitCode, last } = await prove(where);
    expect(exitCode).toBe(1);
    expect(last).toMatchObject({
      type: 'error',
      message: 'Cannot prove the release: 1 of 1 upgrades failed',
      output: expect.stringMatching(/upgrade failed[^]*damaged[^]*\| .*default runlevel reached/),
    });
    const proof = await readProof();
    const [way] = proof.ways;
    expect(proof.result).toBe('failed');
    expect(way).toMatchObject({ result: 'failed', failure: { step: 'upgrade' } });
    expect(await readFile(way!.failure!.consoleLog, 'utf8')).toContain('default runlevel reached');
    expect(await leftovers()).toEqual([]);
  });

  it('has nothing to prove where one release is kept, and says so by its exit code', async () => {
    await copyOutput();
    await rm(inWorkspace(first.lxc), { recursive: true });
    const { exitCode, last, stages } = await prove(where);
    expect(exitCode).toBe(3);
    expect(stages).toEqual([]);
    expect(last).toMatchObject({ type: 'result', title: expect.stringMatching(/: nothing to prove$/) });
    expect(await readProof()).toMatchObject({ result: 'nothing', ways: [] });
  });

  it('leaves nothing behind when it is stopped', async () => {
    await copyOutput();
    const { exitCode } = await prove(where, (event, child) => {
      if (event.type === 'stage-start' && event.stage.endsWith(' upgrade'))
        process.kill(child.pid!, 'SIGTERM');
    });
    expect(exitCode).toBe(130);
    expect(await leftovers()).toEqual([]);
  });
});

const forMachines = await givenImages(['qemu-system-x86_64', 'debugfs']);

describe.skipIf(forMachines.skipped)(`npm run prove, for virtual machines${forMachines.note}`, () => {
  it(
    'upgrades and rolls back an image that lets nobody in, and leaves the image as it is',
    { timeout: 1_800_000 },
    async () => {
      const { first, second } = forMachines.versions;
      await execa('cp', ['-al', join(forMachines.images.workspace, 'out'), workspace]);
      const started = performance.now();
      const { exitCode, stages, stderr, last } = await prove(['--target', 'vm', '--base', 'debian']);
      measured('npm run prove for a virtual machine, one way', seconds(performance.now() - started));
      expect({ exitCode, stderr, last }).toMatchObject({ exitCode: 0, stderr: '' });
      expect(stages).toEqual(steps.map((step) => `vm ${first.vm.manifest.version} ${step}`));
      const old = first.vm.directory.replace(forMachines.images.workspace, workspace);
      const [image] = first.vm.manifest.artifacts;
      const { stdout } = await execa('sha256sum', [join(old, image!.file)]);
      expect(stdout.split(' ')[0]).toBe(image!.sha256);
      const directory = second.vm.directory.replace(forMachines.images.workspace, workspace);
      const proof = JSON.parse(await readFile(join(directory, 'proof.json'), 'utf8')) as ProofReport;
      expect(proof).toMatchObject({
        result: 'proved',
        guest: { kind: 'machine', memory: 256, firmware: 'bios' },
      });
    },
  );
});
