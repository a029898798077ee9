import { sha256 } from '../host/files.ts';
import type { Recipe } from '../model.ts';

/** The recipe with the update URL that the command line names; empty: as the layers say. */
export function withUpdateUrl(recipe: Recipe, url: string): Recipe {
  if (url === '' || url === recipe.settings.update.url) return recipe;
  return {
    ...recipe,
    settings: { ...recipe.settings, update: { url } },
    digest: sha256(`${recipe.digest} update.url ${url}`),
  };
}
