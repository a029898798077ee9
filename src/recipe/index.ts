export { listBases, listServices, resolveBase } from './bases.ts';
export type { ResolvedBase } from './bases.ts';
export { explainRecipe, recipeAsJson } from './explain.ts';
export type { History } from './history.ts';
export { layerJsonSchema } from './layer-file.ts';
export type { LayerFile } from './layer-file.ts';
export { readRecipe } from './recipe.ts';
export type { ReadRecipe } from './recipe.ts';
