import type { Recipe } from '../model.ts';
import { digestOf } from './digest.ts';

/** The recipe with the update URL that the command line names; empty: as the layers say. */
export function withUpdateUrl<R extends Recipe>(recipe: R, url: string): R {
  if (url === '' || url === recipe.settings.update.url) return recipe;
  const origins = new Map([...recipe.origins].filter(([setting]) => setting !== 'update.url'));
  const update = { url };
  const parts = { ...recipe.parts, 'setting update': JSON.stringify(update) };
  return { ...recipe, origins, settings: { ...recipe.settings, update }, parts, digest: digestOf(parts) };
}
