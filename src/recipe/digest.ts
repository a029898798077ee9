import { readBytes, sha256 } from '../host/files.ts';
import type { Recipe } from '../model.ts';

/**
 * SHA-256 over everything that decides what is built: names, modes, links, settings, and the contents of files and
 * hooks. Neither where the layers lie on this machine nor which layer gave a value changes it.
 */
export async function digestOf(recipe: Omit<Recipe, 'digest'>): Promise<string> {
  const { ref, distribution, packages, provided, settings } = recipe;
  const files = recipe.files.map(async ({ path, kind, mode, uid, gid, link, source }) => {
    const content = kind === 'file' ? await contentOf(source) : (link ?? '');
    return [path, kind, mode, uid, gid, content];
  });
  const hooks = recipe.hooks.map(async ({ phase, name, path }) => [phase, name, await contentOf(path)]);
  const decisive = {
    ref,
    distribution,
    packages: packages.map(({ name }) => name),
    provided: provided.map(({ name }) => name),
    files: await Promise.all(files),
    hooks: await Promise.all(hooks),
    settings,
  };
  return sha256(JSON.stringify(decisive, withSortedKeys));
}

const contentOf = async (path: string): Promise<string> => sha256(await readBytes(path));

/** The order in which a layer wrote its keys is not part of what it says. */
function withSortedKeys(_: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).toSorted());
}
