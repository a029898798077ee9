import { basename, dirname, join } from 'node:path';
import { TreelineError } from './host/errors.ts';
import {
  listNames,
  move,
  pathExists,
  readEntry,
  realPath,
  remove,
  writeFile,
  writeFileAtomically,
} from './host/files.ts';
import type { Host } from './host/host.ts';
import { withinScope } from './host/host.ts';
import type { Lock, Recipe } from './model.ts';
import type { BuildOptions } from './options.ts';
import { formatLocks, readLocks } from './packages/lock.ts';
import { requireVendoring, resolvePackages, vendorPackages } from './packages/packages.ts';
import { readRecipe } from './recipe/recipe.ts';

/** Beside vendored packages: the lock that they fulfil. */
export const lockName = 'treeline.lock.json';

interface LockedImage {
  recipe: Recipe;
  lock: Lock;
  options: BuildOptions['packages'];
}

/**
 * Resolves images without building them, and writes what came out to `file`; what it says of other images stays. Throws
 * 'usage' where the file cannot be written, 'package' where it is no lock. Returns the refs of those other images.
 */
export async function lockImages(
  host: Host,
  requests: readonly BuildOptions[],
  file: string,
): Promise<string[]> {
  const kind = (await readEntry(await realPath(file).catch(() => file)))?.kind;
  if (kind !== undefined && kind !== 'file') {
    throw new TreelineError('usage', `Cannot write the lock ${file}: there is something else of that name`, {
      hint: 'Name a file: npm run lock -- FILE',
    });
  }
  const before = kind === undefined ? new Map<string, Lock>() : await readLocks(file);
  const locks = locksOf(await resolveAll(host, requests, await readRecipes(requests)));
  await writeFileAtomically(file, formatLocks(new Map([...before, ...locks])));
  return [...before.keys()].filter((ref) => !locks.has(ref));
}

/**
 * Writes the packages of images as a mirror of their own into `directory`, which appears whole or not at all; one that
 * was made before is replaced. Throws 'usage' where something else is there.
 */
export async function vendorImages(
  host: Host,
  requests: readonly BuildOptions[],
  directory: string,
): Promise<{ packages: number }> {
  const [fresh, old] = ['new', 'old'].map((state) =>
    join(dirname(directory), `.${basename(directory)}.treeline-${state}`),
  ) as [string, string];
  // An earlier command was killed between its last two steps.
  if (!(await pathExists(directory)) && (await pathExists(old))) await move(old, directory);
  await refuseForeign(directory);
  const recipes = await readRecipes(requests);
  requireVendoring(recipes);
  await refuseLoss(
    directory,
    recipes.map(({ ref }) => ref),
  );
  const images = await resolveAll(host, requests, recipes);
  await remove(fresh);
  try {
    const packages = await host.stage(
      'vendor',
      () => vendorPackages(host, images, fresh),
      (count) => ({ detail: `${count} packages` }),
    );
    await writeFile(join(fresh, lockName), formatLocks(locksOf(images)));
    await remove(old);
    if (await pathExists(directory)) await move(directory, old);
    await move(fresh, directory);
    await remove(old);
    return { packages };
  } finally {
    await remove(fresh);
  }
}

const readRecipes = (requests: readonly BuildOptions[]): Promise<Recipe[]> =>
  Promise.all(requests.map(({ request }) => readRecipe(request)));

/** `recipes`: of the requests, in their order. */
async function resolveAll(
  parent: Host,
  requests: readonly BuildOptions[],
  recipes: readonly Recipe[],
): Promise<LockedImage[]> {
  const images: LockedImage[] = [];
  for (const [index, { request, packages: options }] of requests.entries()) {
    const host = withinScope(parent, request.target);
    const recipe = recipes[index]!;
    const lock = await host.stage(
      'resolve',
      () => resolvePackages(host, recipe, options),
      ({ packages, digest }) => ({ detail: `${packages.length} packages, lock ${digest.slice(0, 12)}` }),
    );
    images.push({ recipe, lock, options });
  }
  return images;
}

const locksOf = (images: readonly LockedImage[]): Map<string, Lock> =>
  new Map(images.map(({ recipe, lock }) => [recipe.ref, lock]));

/** Whoever vendors one image anew does not mean to throw the packages of another away. */
async function refuseLoss(directory: string, refs: readonly string[]): Promise<void> {
  const file = join(directory, lockName);
  if (!(await pathExists(file))) return;
  const lost = [...(await readLocks(file)).keys()].filter((ref) => !refs.includes(ref));
  if (lost.length === 0) return;
  throw new TreelineError(
    'usage',
    `Cannot vendor into ${directory}: it also holds the packages of ${lost.join(', ')}`,
    { hint: 'Name all of its images (--target several times), or another directory.' },
  );
}

async function refuseForeign(directory: string): Promise<void> {
  const kind = (await readEntry(directory))?.kind;
  if (kind === undefined) return;
  const names = kind === 'directory' ? await listNames(directory) : [];
  if (kind === 'directory' && (names.length === 0 || (await isVendored(directory, names)))) return;
  const what = {
    file: 'it is a file',
    symlink: 'it is a symbolic link',
    directory: 'it holds something else',
  };
  const reason = kind === 'other' ? 'it is no directory' : what[kind];
  throw new TreelineError('usage', `Cannot vendor into ${directory}: ${reason}`, {
    hint: 'Name a directory that does not exist yet, an empty one, or one that npm run vendor made.',
  });
}

/** Whether nothing but vendored packages is there: a lock alone may as well lie in a directory with a person's work. */
async function isVendored(directory: string, names: readonly string[]): Promise<boolean> {
  if (!names.includes(lockName)) return false;
  const locks = await readLocks(join(directory, lockName)).catch(() => undefined);
  if (locks === undefined) return false;
  const releases = [...locks.values()].map(({ distribution }) => distribution.release);
  const own = new Set([lockName, 'keys', ...releases]);
  return names.every((name) => own.has(name));
}
