import { sha256 } from '../host/files.ts';
import type { Recipe } from '../model.ts';

/** The recipe with the update URL that the command line names; empty: as the layers say. */
export function withUpdateUrl<R extends Recipe>(recipe: R, url: string): R {
  if (url === '' || url === recipe.settings.update.url) return recipe;
  const origins = new Map([...recipe.origins].filter(([setting]) => setting !== 'update.url'));
  return {
    ...recipe,
    origins,
    settings: { ...recipe.settings, update: { url } },
    digest: sha256(`${recipe.digest} update.url ${url}`),
  };
}
