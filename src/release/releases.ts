import { basename, join } from 'node:path';
import { z } from 'zod';
import {
  fileSize,
  listNames,
  makeDirectory,
  makeLink,
  move,
  pathExists,
  readEntry,
  readTextIfExists,
  remove,
  writeFile,
} from '../host/files.ts';
import type { Workspace } from '../host/workspace.ts';
import type { Artifact, Manifest, Release } from '../model.ts';

const manifestSchema = z.object({
  ref: z.string(),
  commit: z.string(),
  parent: z.string().nullable(),
  version: z.string(),
  timestamp: z.number(),
  recipe: z.string(),
  lock: z.string(),
  inputs: z.string(),
  packages: z.array(z.object({ name: z.string(), version: z.string() })),
  partitions: z.array(
    z.object({
      name: z.string(),
      role: z.enum(['bios-boot', 'esp', 'boot', 'swap', 'rootfs', 'other']),
      start: z.number(),
      size: z.number(),
      filesystem: z.enum(['ext4', 'vfat', 'swap', 'none']),
      uuid: z.string(),
    }),
  ),
  artifacts: z.array(
    z.object({
      file: z.string(),
      kind: z.enum(['disk-image', 'squashfs', 'tarball', 'metadata', 'config']),
      bytes: z.number(),
      sha256: z.string(),
    }),
  ),
});

/** The directory that holds all releases of a ref: `out/<distro>-<release>/<arch>/<target>`. */
export const releasesOf = (workspace: Workspace, ref: string): string =>
  join(workspace.output, ...ref.split('/').slice(1));

/** The base of artifact names: `treeline-debian-12-x86_64-vm-<version>`. */
export const artifactName = (ref: string, version: string): string =>
  `${ref.replaceAll('/', '-')}-${version}`;

/** A release's manifest, if all its files are there with the recorded lengths; undefined otherwise. */
export async function readRelease(directory: string): Promise<Release | undefined> {
  const manifest = parseManifest((await readTextIfExists(join(directory, 'manifest.json'))) ?? '');
  if (manifest === undefined) return undefined;
  for (const { file, bytes } of manifest.artifacts) {
    const path = join(directory, file);
    if (!(await pathExists(path)) || (await fileSize(path)) !== bytes) return undefined;
  }
  return { directory, manifest };
}

function parseManifest(text: string): Manifest | undefined {
  try {
    return manifestSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** All whole releases of all refs, newest first. */
export async function listReleases(workspace: Workspace): Promise<Release[]> {
  const found: Release[] = [];
  for (const base of await directoryNames(workspace.output)) {
    for (const arch of await directoryNames(join(workspace.output, base))) {
      for (const target of await directoryNames(join(workspace.output, base, arch))) {
        const parent = join(workspace.output, base, arch, target);
        for (const version of (await listNames(parent)).filter(isVersion)) {
          const release = await readRelease(join(parent, version));
          if (release !== undefined) found.push(release);
        }
      }
    }
  }
  return found.toSorted((a, b) => b.manifest.timestamp - a.manifest.timestamp);
}

/**
 * Completes a staged release (checksums, lock, manifest) and puts it in its place by rename; `latest` then names it.
 * Of older releases of the ref the newest `keep - 1` stay.
 */
export async function publishRelease(
  workspace: Workspace,
  options: { staging: string; manifest: Manifest; lock: string; keep: number },
): Promise<Release> {
  const { staging, manifest, lock, keep } = options;
  for (const { file, sha256 } of manifest.artifacts) {
    await writeFile(join(staging, `${file}.sha256`), `${sha256}  ${file}\n`);
  }
  await writeFile(join(staging, 'lock.json'), lock);
  await writeFile(join(staging, 'manifest.json'), formatManifest(manifest));
  const parent = releasesOf(workspace, manifest.ref);
  const directory = join(parent, manifest.version);
  await makeDirectory(parent);
  if (await pathExists(directory)) {
    await move(directory, `${staging}.replaced`);
    await move(staging, directory);
    await remove(`${staging}.replaced`);
  } else {
    await move(staging, directory);
  }
  await pointLatest(parent, manifest.version);
  await removeOldReleases(parent, manifest.version, keep);
  return { directory, manifest };
}

/** JSON for people: packages, partitions and artifacts one a line. */
export function formatManifest(manifest: Manifest): string {
  const fields = Object.entries(manifest).map(([key, value]) => {
    if (!Array.isArray(value) || value.length === 0)
      return `  ${JSON.stringify(key)}: ${JSON.stringify(value)}`;
    const items = value.map((item) => `    ${JSON.stringify(item)}`);
    return `  ${JSON.stringify(key)}: [\n${items.join(',\n')}\n  ]`;
  });
  return `{\n${fields.join(',\n')}\n}\n`;
}

export const artifactRecord = (artifact: Artifact): Manifest['artifacts'][number] => ({
  file: basename(artifact.path),
  kind: artifact.kind,
  bytes: artifact.bytes,
  sha256: artifact.sha256,
});

async function pointLatest(parent: string, version: string): Promise<void> {
  const beside = join(parent, '.latest');
  await remove(beside);
  await makeLink(version, beside);
  await move(beside, join(parent, 'latest'));
}

async function removeOldReleases(parent: string, current: string, keep: number): Promise<void> {
  const versions = (await listNames(parent)).filter((name) => isVersion(name) && name !== current);
  const byAge = versions.toSorted(compareVersions).toReversed();
  for (const version of byAge.slice(Math.max(0, keep - 1))) await remove(join(parent, version));
}

const isVersion = (name: string): boolean => /^\d{8}\.\d+$/.test(name);

/** Versions are `<date>.<n>`, both compared as numbers. */
export function compareVersions(a: string, b: string): number {
  const [dateA = 0, countA = 0] = a.split('.').map(Number);
  const [dateB = 0, countB = 0] = b.split('.').map(Number);
  return dateA - dateB || countA - countB;
}

/** Directories only: users may keep files of their own in the output directory. */
async function directoryNames(path: string): Promise<string[]> {
  const names = (await listNames(path)).filter((name) => !name.startsWith('.'));
  const entries = await Promise.all(names.map((name) => readEntry(join(path, name))));
  return names.filter((_, index) => entries[index]?.kind === 'directory');
}
