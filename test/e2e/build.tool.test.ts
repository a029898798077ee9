import { lstat, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Manifest } from '../../src/model.ts';
import { findMissing } from '../../src/host/tools.ts';
import { layers, makeContents, smallLayers } from '../badluck/workspaces.ts';
import { lacks } from '../helpers/needs.ts';
import { inGuest, writeOverlay } from './overlay.ts';
import { runScript, runScriptText } from './program.ts';

const reason = lacks({ programs: findMissing(['build', 'container']).names, root: true });

describe.skipIf(reason !== undefined)(
  `the programs that npm runs${reason === undefined ? '' : ` (skipped: ${reason})`}`,
  () => {
    let directory: string;
    let overlay: string;
    let options: string[];
    let release: string;
    let printed: string;
    let manifest: Manifest;

    const readManifest = async (): Promise<Manifest> =>
      JSON.parse(await readFile(join(release, '../latest/manifest.json'), 'utf8')) as Manifest;

    beforeAll(async () => {
      directory = await mkdtemp(join(tmpdir(), 'treeline-build-'));
      overlay = join(directory, 'overlay');
      await writeOverlay(overlay);
      // The whole tree is built for the boot tests.
      makeContents();
      options = ['--workspace', join(directory, 'workspace'), '--overlay', overlay, ...smallLayers];
      printed = await runScriptText('build-lxc', options);
      const parent = join(directory, 'workspace/out/debian-12/x86_64/lxc');
      release = join(parent, 'latest');
      manifest = await readManifest();
      release = join(parent, manifest.version);
    });
    afterAll(async () => {
      await execa('chattr', ['-R', '-f', '-i', directory], { reject: false });
      await rm(directory, { recursive: true, force: true });
    });

    describe('after a build', () => {
      it('have said every stage with its time, and at the end what was built, where and how big', () => {
        for (const stage of ['recipe', 'resolve', 'fetch', 'unpack', 'merge', 'tree', 'commit', 'image']) {
          expect(printed).toMatch(new RegExp(`\\b${stage}\\b.*\\d+(\\.\\d+)? ?m?s\\b`));
        }
        for (const { file } of manifest.artifacts) expect(printed).toContain(file);
        expect(printed).toContain('npm run build-update');
      });

      it('have written a manifest: commit, version, packages with versions, sizes', async () => {
        expect(manifest).toMatchObject({
          ref: 'treeline/debian-12/x86_64/lxc',
          commit: expect.stringMatching(/^[0-9a-f]{64}$/),
          parent: null,
          version: expect.stringMatching(/^\d{8}\.0$/),
          partitions: [],
        });
        expect(manifest.packages).toContainEqual({ name: 'hello', version: expect.stringMatching(/^\d/) });
        for (const { file, bytes } of manifest.artifacts) {
          expect((await lstat(join(release, file))).size).toBe(bytes);
        }
      });

      it('have written checksums that sha256sum verifies', async () => {
        const sums = (await readdir(release)).filter((name) => name.endsWith('.sha256'));
        expect(sums.toSorted()).toEqual(manifest.artifacts.map(({ file }) => `${file}.sha256`).toSorted());
        await expect(
          execa('sha256sum', ['--check', '--strict', ...sums], { cwd: release }),
        ).resolves.toMatchObject({ exitCode: 0 });
      });

      it('explain the recipe, and where each value comes from', async () => {
        const text = await runScriptText('explain', ['--overlay', overlay, '--target', 'lxc']);
        const from = (file: string): RegExp => new RegExp(`.*${overlay}/${file}`);
        expect(text).toMatch(new RegExp(`hello${from('packages.list').source}:2`));
        expect(text).toMatch(new RegExp(`services\\.default.*e2e${from('layer.yaml').source}:2`));
        expect(text).toMatch(
          new RegExp(`${inGuest.changed.slice(1)}${from(`rootfs${inGuest.changed}`).source}`),
        );
        expect(text).toMatch(new RegExp(`50-e2e${from('hooks/post-install.d/50-e2e').source}`));
        expect(text).toContain('service/sshd');
      });
    });

    describe('where nothing changed', () => {
      it('say so and leave every file as it is', async () => {
        const before = await snapshot(join(directory, 'workspace/out'));
        const text = await runScriptText('build-lxc', options);
        expect(text).toContain('as published');
        expect(await snapshot(join(directory, 'workspace/out'))).toEqual(before);
      });

      it('print nothing but JSON lines with --json', async () => {
        const text = await runScriptText('build-lxc', [...options, '--json']);
        const events = text
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line) as { type: string; stage?: string; reused?: boolean });
        expect(events.at(-1)).toMatchObject({ type: 'result', title: expect.stringContaining('lxc') });
        const ended = events.filter(({ type }) => type === 'stage-end');
        expect(ended.find(({ stage }) => stage === 'lxc image')).toMatchObject({ reused: true });
        expect(ended.find(({ stage }) => stage === 'lxc tree')).toMatchObject({ reused: true });
      });

      it('build no update: exit code 0, no file in out/ and no object or ref in the repository', async () => {
        const places = ['out', '.treeline/repo'].map((place) => join(directory, 'workspace', place));
        const before = await Promise.all(places.map(snapshot));
        const { stdout, exitCode } = await runScript('build-update', [
          ...options.slice(0, 2),
          ...['--overlays', layers],
        ]);
        expect(exitCode).toBe(0);
        expect(stdout).toContain('Nothing changed');
        expect(await Promise.all(places.map(snapshot))).toEqual(before);
      });
    });

    describe('the cache', () => {
      const artifacts = ({ artifacts: list }: Manifest): unknown =>
        list.map(({ file, sha256 }) => ({ file, sha256 }));

      it('is passed over with --force, and the same comes out; two images unpack and merge the same packages once', async () => {
        const both = [...options, '--target', 'ovz', '--force', '--explain-cache'];
        const text = await runScriptText('build-lxc', both);
        for (const stage of ['merge', 'tree', 'image'])
          expect(text).toContain(`${stage} of ${manifest.ref}: made, --force\n`);
        expect(text.match(/ unpack +\d+ packages/g)).toHaveLength(1);
        expect(text.match(/ (lxc|ovz) merge +\d+ packages/g)).toHaveLength(1);
        expect(text.match(/ (lxc|ovz) image +\d files/g)).toHaveLength(2);
        expect(await readManifest()).toEqual(manifest);
      });

      it('cannot be written through: hooks, layers and permissions change copies, and without them all is as it was', async () => {
        const hostile = join(directory, 'hostile');
        await writeOverlay(hostile);
        const hook = join(hostile, 'hooks/install.d/90-write-through');
        await mkdir(join(hook, '..'), { recursive: true });
        await writeFile(
          hook,
          `#!/bin/sh
set -e
for file in /usr/bin/hello /usr/lib/x86_64-linux-gnu/libm.so.6 /usr/share/treeline/packages; do
	echo changed >>"$file"
	chmod 0700 "$file"
done
`,
          { mode: 0o755 },
        );
        const yaml = join(hostile, 'layer.yaml');
        await writeFile(
          yaml,
          `${await readFile(yaml, 'utf8')}permissions:\n  - {path: /usr/bin/hello, mode: '0711', owner: 7}\n`,
        );
        const workspace = join(directory, 'workspace');
        const repository = `--repo=${join(workspace, '.treeline/repo')}`;
        await runScriptText('build-lxc', ['--workspace', workspace, '--overlay', hostile, ...smallLayers]);
        const changed = (await readManifest()).commit;
        const { stdout } = await execa('ostree', [
          repository,
          'ls',
          changed,
          '/usr/bin/hello',
          '/usr/lib/x86_64-linux-gnu/libm.so.6',
        ]);
        expect(stdout).toMatch(
          /^-00711 7 0 +\d+ \/usr\/bin\/hello\n-00700 0 0 +\d+ \/usr\/lib\/x86_64-linux-gnu\/libm\.so\.6$/,
        );
        await execa('ostree', [repository, 'fsck', '--quiet']);
        await execa('ostree', [repository, 'refs', '--force', `--create=${manifest.ref}`, manifest.commit]);
        await runScriptText('build-lxc', options);
        const again = await readManifest();
        expect([again.commit, artifacts(again)]).toEqual([manifest.commit, artifacts(manifest)]);
      });
    });

    it('make a new commit on top of the previous one where one file changed, and keep the old release', async () => {
      await writeFile(join(overlay, `rootfs${inGuest.changed}`), 'version two\n');
      const text = await runScriptText('build-lxc', [...options, '--explain-cache']);
      expect(text).toContain(`tree of ${manifest.ref}: made, file ${inGuest.changed} changed\n`);
      expect(text).toContain(`image of ${manifest.ref}: made, commit changed\n`);
      expect(text).not.toMatch(/ (fetch|unpack|merge) +\d/);
      const next = await readManifest();
      expect(next.parent).toBe(manifest.commit);
      expect(next.commit).not.toBe(manifest.commit);
      expect(next.version).toBe(manifest.version.replace(/0$/, '1'));
      expect(next.lock).toBe(manifest.lock);
      const repository = `--repo=${join(directory, 'workspace/.treeline/repo')}`;
      const { stdout } = await execa('ostree', [repository, 'diff', manifest.commit, next.commit]);
      const changes = stdout.split('\n').map((line) => line.replaceAll(/\s+/g, ' '));
      expect(changes).toEqual([`M ${inGuest.changed}`]);
      expect(await readdir(join(release, '..'))).toEqual([manifest.version, next.version, 'latest']);
    });
  },
);

/** Every file below a directory: what would differ if it had been written. */
async function snapshot(root: string): Promise<string[]> {
  const { stdout } = await execa('find', [root, '-printf', '%P %y %s %T@ %i %l\\n']);
  // OSTree's lock and its directory for unfinished work are touched by readers too.
  const lines = stdout.split('\n').filter((line) => !/^(|\.lock|tmp(\/\S*)?) [fd] /.test(line));
  return lines.toSorted();
}
