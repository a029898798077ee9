import type { Lock, Recipe } from '../model.ts';
import { existsInTree, putCopy, putFile, putLink, readInTree } from './write.ts';

/**
 * What a running system knows of itself: os-release(5), its name, its ref, its packages, and the key that signs its updates.
 * `trustedKeys`: a binary OpenPGP keyring, absolute. `epoch`: seconds since 1970 that stand for "now"; a machine with a clock
 * of its own knows that this time is past.
 */
export async function writeIdentity(
  root: string,
  options: { recipe: Recipe; lock: Lock; trustedKeys: string; epoch: number },
): Promise<void> {
  const { recipe, lock, trustedKeys, epoch } = options;
  const { settings, ref, request } = recipe;
  await putFile(root, 'usr/lib/os-release', await osRelease(root, recipe));
  await putLink(root, 'etc/os-release', '../usr/lib/os-release');
  await putFile(root, 'etc/hostname', `${settings.hostname}\n`);
  const image = {
    TREELINE_REF: ref,
    TREELINE_TARGET: request.target,
    TREELINE_UPDATE_URL: settings.update.url,
    ...(settings.kernel.enabled ? { TREELINE_EPOCH: String(epoch) } : {}),
  };
  const assignments = Object.entries(image).map(
    ([name, value]) => `${name}='${value.replaceAll("'", String.raw`'\''`)}'\n`,
  );
  await putFile(root, 'usr/lib/treeline/image.conf', assignments.join(''));
  const packages = lock.packages.map((entry) => `${entry.name} ${entry.version} ${entry.architecture}\n`);
  await putFile(root, 'usr/share/treeline/packages', packages.join(''));
  await putCopy(root, 'usr/share/treeline/trusted.gpg', trustedKeys);
}

/** What a package says of its distribution stays; only the distribution itself knows its point release. */
async function osRelease(root: string, { distribution, request }: Recipe): Promise<string> {
  const { id, name, release, codename } = distribution;
  const stated = await readOsRelease(root);
  const fields = {
    NAME: name,
    ID: id,
    VERSION_ID: release,
    VERSION_CODENAME: codename,
    ...stated,
    PRETTY_NAME: `${stated['PRETTY_NAME'] ?? `${name} ${release}`} (Treeline ${request.target})`,
    VARIANT_ID: request.target,
  };
  return Object.entries(fields)
    .filter(([, value]) => value !== '')
    .map(([key, value]) => `${key}="${value}"\n`)
    .join('');
}

/** The assignments of a package's os-release(5), without their quotes. */
async function readOsRelease(root: string): Promise<Record<string, string>> {
  for (const path of ['usr/lib/os-release', 'etc/os-release']) {
    if (!(await existsInTree(root, path))) continue;
    const lines = (await readInTree(root, path)).matchAll(/^([A-Z_]+)=(["']?)(.*)\2$/gm);
    return Object.fromEntries([...lines].map(([, key, , value]) => [key!, value!]));
  }
  return {};
}
