import type { Recipe } from '../../model.ts';

/** The package that stands in for what the recipe's setting `provided` names. */
export const standIn = 'treeline-provided';

/** What apk is asked to install, as in /etc/apk/world: the recipe's packages, `NAME@TAG` where they come from a tagged repository. */
export const worldOf = (recipe: Recipe): string[] => [
  ...recipe.packages.map(({ name }) => name),
  ...(recipe.provided.length === 0 ? [] : [standIn]),
];

/** The same where there is one repository without tags. */
export const untaggedWorldOf = (recipe: Recipe): string[] => worldOf(recipe).map(withoutTag);

/** `NAME@TAG` → `NAME` */
export const withoutTag = (name: string): string => name.replace(/@.*$/, '');
