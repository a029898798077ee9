import { readBytes, sha256 } from '../host/files.ts';
import type { Recipe } from '../model.ts';

/**
 * Everything in a recipe that decides what is built, by names for people: settings, packages, files and hooks with their
 * modes and contents. Neither where the layers lie on this machine nor which layer gave a value changes it.
 */
export async function partsOf(
  recipe: Omit<Recipe, 'digest' | 'parts'>,
): Promise<Readonly<Record<string, string>>> {
  const { ref, distribution, packages, provided, settings } = recipe;
  const files = recipe.files.map(async ({ path, kind, mode, uid, gid, link, source }) => {
    const content = kind === 'file' ? await contentOf(source) : (link ?? '');
    return [`file /${path}`, JSON.stringify([kind, mode, uid, gid, content])];
  });
  const hooks = recipe.hooks.map(async ({ phase, name, path }) => [
    `hook ${phase}.d/${name}`,
    await contentOf(path),
  ]);
  return Object.fromEntries([
    ['ref', ref],
    ['distribution', JSON.stringify(distribution, withSortedKeys)],
    ...packages.map(({ name }) => [`request for package ${name}`, '']),
    ...provided.map(({ name }) => [`provided package ${name}`, '']),
    ...Object.entries(settings).map(([name, value]) => [
      `setting ${name}`,
      JSON.stringify(value, withSortedKeys),
    ]),
    ...(await Promise.all([...files, ...hooks])),
  ]);
}

/** SHA-256 over all parts. */
export const digestOf = (parts: Readonly<Record<string, string>>): string =>
  sha256(JSON.stringify(parts, withSortedKeys));

const contentOf = async (path: string): Promise<string> => sha256(await readBytes(path));

/** The order in which a layer wrote its keys is not part of what it says. */
function withSortedKeys(_: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).toSorted());
}
