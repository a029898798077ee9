import { TreelineError } from '../host/errors.ts';
import { knownNamesHint } from '../host/nearest.ts';
import { runlevels } from '../model.ts';
import type { Recipe } from '../model.ts';
import { readdir } from 'node:fs/promises';
import { absolutePlace } from '../recipe/problems.ts';
import { resolveInTree } from './paths.ts';
import { putDirectory, putLink } from './write.ts';

/** Adds services to OpenRC's runlevels as rc-update(8) does. Throws 'recipe' for one that the tree does not have. */
export async function enableServices(root: string, recipe: Recipe): Promise<void> {
  const present = await readdir(await resolveInTree(root, 'etc/init.d', 'follow')).catch((): string[] => []);
  for (const runlevel of runlevels) {
    await putDirectory(root, `etc/runlevels/${runlevel}`);
    for (const service of recipe.settings.services[runlevel]) {
      if (!present.includes(service)) {
        const origin = recipe.origins.get(`services.${runlevel}.${service}`);
        const by = origin === undefined ? '' : ` (asked for by ${absolutePlace(origin)})`;
        throw new TreelineError(
          'recipe',
          `Cannot enable the service ${service}${by}: the tree has no /etc/init.d/${service}`,
          {
            hint: knownNamesHint(service, present),
          },
        );
      }
      await putLink(root, `etc/runlevels/${runlevel}/${service}`, `/etc/init.d/${service}`);
    }
  }
}
