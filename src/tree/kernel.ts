import { unlinkSync } from 'node:fs';
import { chmod, lstat, readdir, rename } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import picomatch from 'picomatch';
import { TreelineError } from '../host/errors.ts';
import { listTree } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import type { Recipe } from '../model.ts';
import { resolveInTree } from './paths.ts';
import { existsInTree, putDirectory, putFile, putLink, readInTree, removePath } from './write.ts';

/**
 * Puts the kernel where OSTree expects it (usr/lib/modules/<version>/vmlinuz) and drops the modules that the recipe
 * does not keep. Returns the kernel's version, or undefined for targets that bring their own kernel.
 */
export async function placeKernel(host: Host, root: string, recipe: Recipe): Promise<string | undefined> {
  if (!recipe.settings.kernel.enabled) {
    // A deployment cannot be without a kernel; containers get an empty one, which nothing boots.
    await putFile(root, 'usr/lib/modules/none/vmlinuz', '');
    return undefined;
  }
  const version = await findKernel(root, recipe);
  const image = join(
    root,
    'boot',
    (await readdir(join(root, 'boot'))).find((name) => /^vmlinu[xz]-/.test(name)) ?? '',
  );
  await rename(image, join(root, 'usr/lib/modules', version, 'vmlinuz'));
  await removePath(root, 'boot');
  await putDirectory(root, 'boot');
  if (mayAddModules(recipe))
    await keepModules(host, root, { version, globs: recipe.settings.kernel.modules });
  return version;
}

/** Those of packages were chosen and indexed when they were merged. */
const mayAddModules = ({ hooks, files }: Recipe): boolean =>
  hooks.length > 0 || files.some(({ path }) => /^(usr\/)?lib\/modules(\/|$)/.test(path));

async function findKernel(root: string, recipe: Recipe): Promise<string> {
  const versions = await readdir(join(root, 'usr/lib/modules')).catch(() => []);
  const images = (await readdir(join(root, 'boot')).catch(() => [])).filter((name) =>
    /^vmlinu[xz]-/.test(name),
  );
  if (versions.length !== 1 || images.length !== 1) {
    const found = `${images.length} kernels in /boot, modules for ${versions.length === 0 ? 'none' : versions.join(', ')}`;
    throw new TreelineError(
      'recipe',
      `Cannot build ${recipe.ref}: it must have exactly one kernel, but has ${found}`,
      {
        hint: 'Add one kernel package to a packages.list (target/vm has the default), or set kernel.enabled: false.',
      },
    );
  }
  return versions[0]!;
}

/**
 * Drops the modules of packages that the recipe does not keep, before they are merged for good: the same packages need
 * not be pruned for every tree. `root` has no links at its top yet.
 */
export async function pruneModules(host: Host, root: string, recipe: Recipe): Promise<void> {
  const versions = await readdir(join(root, 'usr/lib/modules')).catch(() => []);
  if (!recipe.settings.kernel.enabled || versions.length !== 1) return;
  // depmod looks below lib/modules.
  await putLink(root, 'lib', 'usr/lib');
  await keepModules(host, root, { version: versions[0]!, globs: recipe.settings.kernel.modules });
  await removePath(root, 'lib');
}

/** Keeps modules that a glob matches, and what they depend on. Globs are relative to `kernel/`; none: all stay. */
async function keepModules(
  host: Host,
  root: string,
  { version, globs }: { version: string; globs: readonly string[] },
): Promise<void> {
  await unpackModules(host, join(root, 'usr/lib/modules', version));
  await runDepmod(host, root, version);
  if (globs.length > 0) await removeOthers(host, root, { version, globs });
}

async function removeOthers(
  host: Host,
  root: string,
  { version, globs }: { version: string; globs: readonly string[] },
): Promise<void> {
  const directory = `usr/lib/modules/${version}`;
  const dependencies = parseModulesDep(await readInTree(root, `${directory}/modules.dep`));
  const matches = picomatch(globs.map((glob) => `kernel/${glob}`));
  const kept = withDependencies(
    [...dependencies.keys()].filter((path) => matches(path)),
    dependencies,
  );
  const surplus = [...dependencies.keys()].filter((path) => !kept.has(path));
  if (surplus.length === 0) return;
  const parents = new Map<string, string>();
  for (const path of surplus) {
    const parent = dirname(`${directory}/${path}`);
    const place = parents.get(parent) ?? (await resolveInTree(root, parent, 'follow'));
    parents.set(parent, place);
    unlinkSync(join(place, basename(path)));
  }
  await removeEmptyDirectories(root, `${directory}/kernel`);
  await runDepmod(host, root, version);
}

const decompressors: Readonly<Record<string, string>> = { gz: 'gzip', xz: 'xz', zst: 'zstd' };

/**
 * Unpacks compressed modules, so that deltas see into them and any depmod and modprobe can read them (Debian's depmod
 * knows no gzip). A module's signature is part of what was compressed.
 */
async function unpackModules(host: Host, directory: string): Promise<void> {
  const paths = (await listTree(directory)).map(({ path }) => path);
  for (const [ending, program] of Object.entries(decompressors)) {
    const modules = paths.filter((path) => path.endsWith(`.ko.${ending}`));
    if (modules.length === 0) continue;
    await host.run({
      program,
      // A hard link into the repository would be refused without --force; the result is a file of its own.
      args: ['--decompress', '--force', ...(program === 'zstd' ? ['--rm', '--quiet'] : []), ...modules],
      cwd: directory,
      doing: 'unpack the kernel modules',
    });
  }
}

/** depmod(8) writes its indexes anew, so nothing of the repository is written through a link. */
export async function runDepmod(host: Host, root: string, version: string): Promise<void> {
  await host.run({
    program: 'depmod',
    args: ['--basedir', root, version],
    doing: 'index the kernel modules',
  });
  const directory = join(root, 'usr/lib/modules', version);
  for (const name of await readdir(directory)) {
    // depmod's own files have no other link, and the caller's umask.
    const stat = await lstat(join(directory, name));
    if (name.startsWith('modules.') && stat.isFile() && stat.nlink === 1)
      await chmod(join(directory, name), 0o644);
  }
}

/** modules.dep: `path: path…`, paths relative to the modules' directory. */
export function parseModulesDep(text: string): Map<string, string[]> {
  const lines = text.split('\n').filter((line) => line.includes(':'));
  return new Map(
    lines.map((line) => {
      const [path, rest] = line.split(':');
      return [
        path!,
        (rest ?? '')
          .trim()
          .split(/\s+/)
          .filter((word) => word !== ''),
      ];
    }),
  );
}

/** The modules and, as modules.dep lists them already closed, all that they need. */
export function withDependencies(
  paths: readonly string[],
  dependencies: ReadonlyMap<string, readonly string[]>,
): Set<string> {
  return new Set(paths.flatMap((path) => [path, ...(dependencies.get(path) ?? [])]));
}

/** A module's name as the kernel knows it: no directory, no ending, dashes as underscores. */
export const moduleName = (path: string): string =>
  path
    .split('/')
    .at(-1)!
    .replace(/\.ko(\.\w+)?$/, '')
    .replaceAll('-', '_');

async function removeEmptyDirectories(root: string, below: string): Promise<void> {
  const entries = await listTree(join(root, below));
  const files = entries.filter((entry) => entry.kind !== 'directory').map((entry) => entry.path);
  for (const { path, kind } of entries.toReversed()) {
    if (kind !== 'directory' || files.some((file) => file.startsWith(`${path}/`))) continue;
    if (await existsInTree(root, `${below}/${path}`)) await removePath(root, `${below}/${path}`);
  }
}
