import { join } from 'node:path';
import { readRecipe } from '../src/recipe/recipe.ts';
import { alpineRelease, fetchAlpine, holdsAlpine } from './helpers/alpine-fetch.ts';
import { fileURLToPath } from 'node:url';

const home = fileURLToPath(new URL('..', import.meta.url));
const beside = join(home, '../shared/alpine');
const kept = join(home, 'node_modules/.cache/treeline-alpine');

/** Finds Alpine's packages for the tests, or fetches them from the first of the base's mirrors that answers. */
export async function setup(): Promise<void> {
  if (process.env['TREELINE_TEST_ALPINE'] !== undefined || holdsAlpine(beside)) return;
  if (!holdsAlpine(kept)) await fetchFromMirrors();
  // Test files run in processes that begin with this one's environment.
  if (holdsAlpine(kept)) process.env['TREELINE_TEST_ALPINE'] = kept;
}

async function fetchFromMirrors(): Promise<void> {
  const { settings } = await readRecipe({
    overlays: join(home, 'overlays'),
    base: `alpine-${alpineRelease}`,
    arch: 'x86_64',
    target: 'lxc',
    services: [],
    extraLayers: [],
  });
  for (const mirror of settings.mirrors) {
    try {
      return await fetchAlpine(mirror, kept);
    } catch (error) {
      const { message, cause } = error as Error;
      const why = cause instanceof Error ? `${message} (${cause.message})` : message;
      process.stderr.write(`Alpine packages for the tests: ${mirror}: ${why}\n`);
    }
  }
}
