import { join } from 'node:path';
import { TreelineError } from '../../host/errors.ts';
import { readText, sha256 } from '../../host/files.ts';
import type { Host } from '../../host/host.ts';
import type { Recipe, Repository } from '../../model.ts';
import type { PackageOptions } from '../backend.ts';
import { parsePublicKey } from './formats/keys.ts';
import type { PublicKey } from './formats/keys.ts';
import { openWorkspaceKey } from './workspace-key.ts';

/** A repository of a recipe, and where it can be had. */
export interface ApkRepository {
  name: string;
  tag: string | undefined;
  /** URLs or absolute directories that hold ARCH/APKINDEX.tar.gz, in order of preference. */
  places: readonly string[];
  /** Who may sign its index and its packages. */
  keys: readonly PublicKey[];
}

/** What `--mirror` names, or else the layers. Throws 'recipe' where nobody names one. */
export function mirrorsOf(recipe: Recipe, options: PackageOptions): readonly string[] {
  const mirrors = options.mirrors.length > 0 ? options.mirrors : recipe.settings.mirrors;
  if (mirrors.length === 0) {
    throw new TreelineError('recipe', `Cannot find packages for ${recipe.ref}: no mirror is named`, {
      hint: 'Name one with --mirror URL (or a directory), or with the setting mirrors of a layer.',
    });
  }
  return mirrors.map((mirror) => localPath(checkedMirror(mirror)));
}

function checkedMirror(mirror: string): string {
  const isFile = /^file:\/\/(localhost)?\//.test(mirror);
  if (isFile || /^https?:\/\/[^/\s]/.test(mirror) || mirror.startsWith('/')) return mirror;
  const reason = mirror.startsWith('deb ')
    ? 'a line of sources.list is for the base debian'
    : 'it is no address of a mirror';
  throw new TreelineError('usage', `Cannot use the mirror ${mirror}: ${reason}`, {
    hint: 'Name a URL (http://…, https://…, file:///…) or a directory.',
  });
}

/**
 * The recipe's repositories with their places for these mirrors: MIRROR/RELEASE/NAME, or the repository's own URL. A
 * mirror that is a directory (a vendored one) may also hold those that have a URL of their own.
 */
export async function repositoriesOf(
  host: Host,
  recipe: Recipe,
  mirrors: readonly string[],
): Promise<ApkRepository[]> {
  if (recipe.repositories.length === 0) {
    throw new TreelineError('recipe', `Cannot find packages for ${recipe.ref}: no layer names a repository`, {
      hint: 'The setting repositories of the base’s layer lists them; npm run explain shows what there is.',
    });
  }
  const own = await openWorkspaceKey(host.workspace);
  return Promise.all(
    recipe.repositories.map(async (repository) => ({
      name: repository.name,
      tag: repository.tag,
      places: placesOf(repository, mirrors, recipe.distribution.release),
      keys: [...(await readKeys(repository)), own.public],
    })),
  );
}

function placesOf({ name, url }: Repository, mirrors: readonly string[], release: string): string[] {
  const below = (mirror: string): string => `${mirror.replace(/\/+$/, '')}/${release}/${name}`;
  if (url === undefined) return mirrors.map(below);
  return [...mirrors.filter(isDirectory).map(below), localPath(url)];
}

const readKeys = ({ keys }: Repository): Promise<PublicKey[]> =>
  Promise.all(keys.map(async ({ name, path }) => parsePublicKey(name, await readText(path), path)));

/** Whether a place is on this machine. */
export const isDirectory = (place: string): boolean => place.startsWith('/');

const localPath = (place: string): string =>
  place.startsWith('file://') ? decodeURIComponent(new URL(place).pathname) : place;

/** Names a set of repositories, places and keys: what was found out from one does not hold for another. */
export const identityOf = (repositories: readonly ApkRepository[]): string =>
  sha256(
    JSON.stringify(
      repositories.map(({ name, tag, places, keys }) => [
        name,
        tag,
        places,
        keys.map((key) => key.key.export({ type: 'spki', format: 'pem' })),
      ]),
    ),
  );

/**
 * Where the file of a package lies below a repository's place, by what its index says: an index that was made without
 * `apk index --rewrite-arch` has `noarch` packages, and apk looks for them in `noarch/`.
 */
export const packageFile = ({
  name,
  version,
  architecture,
}: {
  name: string;
  version: string;
  architecture: string;
}): string => join(architecture, `${name}-${version}.apk`);
