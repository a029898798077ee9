import { existsSync, readFileSync, readdirSync, readlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Workspace } from '../../src/host/workspace.ts';
import { openWorkspace } from '../../src/host/workspace.ts';
import type { Manifest, Release } from '../../src/model.ts';
import {
  artifactName,
  compareVersions,
  formatManifest,
  listReleases,
  publishRelease,
  readRelease,
  releasesOf,
} from '../../src/release/releases.ts';
import { temporaryDirectory } from '../helpers/host.ts';
import { manifestOf } from '../helpers/manifest.ts';
import { layFiles } from '../helpers/trees.ts';

const ref = 'treeline/debian-12/x86_64/vm';

const manifest = (version: string, parts: Partial<Manifest> = {}): Manifest =>
  manifestOf({
    ref,
    version,
    timestamp: 1_762_214_400 + Number(version.split('.')[1]),
    packages: [{ name: 'openrc', version: '0.45' }],
    artifacts: [{ file: 'image.img', kind: 'disk-image', bytes: 5, sha256: 'a'.repeat(64) }],
    ...parts,
  });

function publish(
  workspace: Workspace,
  version: string,
  { keep = 3, content = 'image', ...parts }: Partial<Manifest> & { keep?: number; content?: string } = {},
): Promise<Release> {
  const staging = join(workspace.output, '.staging/vm');
  layFiles(staging, { 'image.img': content });
  return publishRelease(workspace, { staging, manifest: manifest(version, parts), lock: '{}\n', keep });
}

const workspaceOf = (): Workspace => openWorkspace(temporaryDirectory());

describe('a release', () => {
  it('lies by its ref and version, with checksums, lock and manifest; latest leads to it', async () => {
    const workspace = workspaceOf();
    const { directory } = await publish(workspace, '20251104.0');
    expect(directory).toBe(join(workspace.output, 'debian-12/x86_64/vm/20251104.0'));
    expect(readdirSync(directory)).toEqual(['image.img', 'image.img.sha256', 'lock.json', 'manifest.json']);
    expect(readFileSync(join(directory, 'image.img.sha256'), 'utf8')).toBe(`${'a'.repeat(64)}  image.img\n`);
    expect(readlinkSync(join(releasesOf(workspace, ref), 'latest'))).toBe('20251104.0');
    expect(await readRelease(directory)).toEqual({ directory, manifest: manifest('20251104.0') });
  });

  it('takes the place of one of the same version, wholly', async () => {
    const workspace = workspaceOf();
    const { directory } = await publish(workspace, '20251104.0');
    writeFileSync(join(directory, 'stale'), '');
    await publish(workspace, '20251104.0', { content: 'other', inputs: 'j' });
    expect(readFileSync(join(directory, 'image.img'), 'utf8')).toBe('other');
    expect(existsSync(join(directory, 'stale'))).toBe(false);
    expect(readdirSync(join(workspace.output, '.staging'))).toEqual([]);
  });

  it('leaves the newest ones before it, counted by number and not by letter', async () => {
    const workspace = workspaceOf();
    for (const version of ['20251103.5', '20251104.2', '20251104.9', '20251104.10'])
      await publish(workspace, version);
    expect(readdirSync(releasesOf(workspace, ref)).toSorted()).toEqual([
      '20251104.10',
      '20251104.2',
      '20251104.9',
      'latest',
    ]);
    await publish(workspace, '20251104.11', { keep: 1 });
    expect(readdirSync(releasesOf(workspace, ref)).toSorted()).toEqual(['20251104.11', 'latest']);
  });

  it('stays itself where an older version is published behind a newer one', async () => {
    const workspace = workspaceOf();
    await publish(workspace, '20251104.9');
    await publish(workspace, '20251104.1', { keep: 1 });
    expect(readlinkSync(join(releasesOf(workspace, ref), 'latest'))).toBe('20251104.1');
    expect(existsSync(join(releasesOf(workspace, ref), '20251104.1/manifest.json'))).toBe(true);
  });

  it('does not cost the files that a person put beside it', async () => {
    const workspace = workspaceOf();
    const parent = releasesOf(workspace, ref);
    layFiles(parent, { 'NOTES.txt': 'mine', 'my-backup/disk.img': 'mine' });
    await publish(workspace, '20251104.0', { keep: 1 });
    await publish(workspace, '20251104.1', { keep: 1 });
    expect(readdirSync(parent).toSorted()).toEqual(['20251104.1', 'NOTES.txt', 'latest', 'my-backup']);
  });
});

describe('reading a release', () => {
  it.each<[string, (directory: string) => void]>([
    [
      'an artifact is missing',
      (directory) =>
        writeFileSync(
          join(directory, 'manifest.json'),
          formatManifest(
            manifest('1.0', { artifacts: [{ file: 'gone', kind: 'tarball', bytes: 1, sha256: '' }] }),
          ),
        ),
    ],
    ['an artifact is cut off', (directory) => truncateSync(join(directory, 'image.img'), 4)],
    ['the manifest is cut off', (directory) => truncateSync(join(directory, 'manifest.json'), 40)],
    ['the manifest is empty', (directory) => truncateSync(join(directory, 'manifest.json'), 0)],
    [
      'the manifest lacks a field',
      (directory) => writeFileSync(join(directory, 'manifest.json'), '{"ref":"x"}'),
    ],
  ])('gives nothing where %s', async (_title, damage) => {
    const { directory } = await publish(workspaceOf(), '20251104.0');
    expect(await readRelease(directory)).toBeDefined();
    damage(directory);
    expect(await readRelease(directory)).toBeUndefined();
  });

  it('gives nothing where there is none', async () => {
    expect(await readRelease('/nonexistent')).toBeUndefined();
  });
});

describe('listing releases', () => {
  it('gives those of all refs, newest first, broken ones left out', async () => {
    const workspace = workspaceOf();
    await publish(workspace, '20251104.1');
    await publish(workspace, '20251104.0', { ref: 'treeline/debian-12/x86_64/lxc' });
    const broken = await publish(workspace, '20251104.2');
    truncateSync(join(broken.directory, 'image.img'), 0);
    const found = await listReleases(workspace);
    expect(found.map((release) => `${release.manifest.ref} ${release.manifest.version}`)).toEqual([
      `${ref} 20251104.1`,
      'treeline/debian-12/x86_64/lxc 20251104.0',
    ]);
  });

  it('passes over what is no release: updates, unfinished work, a person’s own files', async () => {
    const workspace = workspaceOf();
    await publish(workspace, '20251104.0');
    layFiles(workspace.output, {
      'updates/index.json': '{}',
      '.staging/vm/half.img': 'x',
      'my/own/file': 'x',
      'my/own/directory/file': 'x',
      README: 'x',
    });
    expect((await listReleases(workspace)).map((release) => release.manifest.version)).toEqual([
      '20251104.0',
    ]);
  });

  it('gives none where nothing was built', async () => {
    expect(await listReleases(workspaceOf())).toEqual([]);
  });
});

it('versions are compared by date, then by count', () => {
  const sorted = ['20251104.10', '20251104.9', '20251103.99', '20251201.0'].toSorted(compareVersions);
  expect(sorted).toEqual(['20251103.99', '20251104.9', '20251104.10', '20251201.0']);
});

it('artifacts are named by ref and version', () => {
  expect(artifactName(ref, '20251104.0')).toBe('treeline-debian-12-x86_64-vm-20251104.0');
});

it('a manifest is written as JSON that reads back, with one package a line', () => {
  const written = manifest('20251104.0');
  const text = formatManifest(written);
  expect(JSON.parse(text)).toEqual(written);
  expect(text).toContain('\n    {"name":"openrc","version":"0.45"}\n');
});
