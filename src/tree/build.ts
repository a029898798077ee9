import type { Host } from '../host/host.ts';
import { makeDirectory } from '../host/files.ts';
import { join } from 'node:path';
import type { PackageSet, Recipe, Tree } from '../model.ts';
import { writeAccounts } from './accounts.ts';
import { linkBusyboxApplets } from './busybox.ts';
import { runHooks } from './hooks.ts';
import { writeIdentity } from './identity.ts';
import { makeInitramfs } from './initramfs.ts';
import { placeKernel } from './kernel.ts';
import { applyOverlay, applyPermissions } from './overlay.ts';
import { layOutPackages } from './packages.ts';
import { enableServices } from './services.ts';
import { shapeForOstree } from './shape.ts';
import { makeSkeleton } from './skeleton.ts';

/**
 * PackageSet + Recipe → Tree, in a fresh directory below `scratch`.
 * `epoch`: seconds since 1970 that stand for "now". `trustedKeys`: see writeIdentity.
 */
export async function buildTree(
  host: Host,
  options: { recipe: Recipe; packages: PackageSet; epoch: number; trustedKeys: string; scratch: string },
): Promise<Tree> {
  const { recipe, packages, epoch, trustedKeys, scratch } = options;
  const { lock } = packages;
  const { users, groups } = recipe.settings;
  await makeDirectory(scratch);
  const root = join(scratch, 'root');

  // A hook may write into any file, so it gets a copy; without hooks the tree is hard links into the repository.
  await layOutPackages(host, { recipe, packages, directory: root, writable: recipe.hooks.length > 0 });
  await makeSkeleton(root);
  await runHooks(host, root, recipe, 'root');
  await runHooks(host, root, recipe, 'extra-data');
  await runHooks(host, root, recipe, 'pre-install');
  await applyOverlay(root, recipe.files);
  // A package manager that runs its packages' triggers has done it.
  if (packages.install === undefined) await linkBusyboxApplets(host, root);
  await writeAccounts(root, users, groups);
  await writeIdentity(root, { recipe, lock, trustedKeys, epoch });
  await runHooks(host, root, recipe, 'install');
  await enableServices(root, recipe);
  await runHooks(host, root, recipe, 'post-install');
  await applyPermissions(root, recipe);
  const kernel = await placeKernel(host, root, recipe);
  if (kernel !== undefined) {
    await makeInitramfs(host, { root, recipe, version: kernel, epoch, scratch: join(scratch, 'initramfs') });
  }
  await runHooks(host, root, recipe, 'finalise');
  await shapeForOstree(root);
  await runHooks(host, root, recipe, 'cleanup');
  return { directory: root, recipe, lock, epoch, kernel };
}
