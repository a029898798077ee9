import type { Host } from '../host/host.ts';
import { makeDirectory } from '../host/files.ts';
import { join } from 'node:path';
import type { Lock, Recipe, Tree } from '../model.ts';
import { writeAccounts } from './accounts.ts';
import { linkBusyboxApplets } from './busybox.ts';
import { runHooks } from './hooks.ts';
import { writeIdentity } from './identity.ts';
import { makeInitramfs } from './initramfs.ts';
import { placeKernel } from './kernel.ts';
import { applyOverlay, applyPermissions } from './overlay.ts';
import type { MergedPackages } from './packages.ts';
import { layOutMerged } from './packages.ts';
import { enableServices } from './services.ts';
import { shapeForOstree } from './shape.ts';
import { makeSkeleton } from './skeleton.ts';

/**
 * Lock + Recipe → Tree, in a fresh directory below `scratch`. `merged`: the lock's packages.
 * `epoch`: seconds since 1970 that stand for "now". `trustedKeys`: see writeIdentity.
 */
export async function buildTree(
  host: Host,
  options: {
    recipe: Recipe;
    lock: Lock;
    merged: MergedPackages;
    epoch: number;
    trustedKeys: string;
    scratch: string;
  },
): Promise<Tree> {
  const { recipe, lock, merged, epoch, trustedKeys, scratch } = options;
  const { users, groups } = recipe.settings;
  await makeDirectory(scratch);
  const root = join(scratch, 'root');

  // A hook may write into any file, so it gets a copy; without hooks the tree is hard links into the repository.
  await layOutMerged(host, { merged, directory: root, writable: recipe.hooks.length > 0 });
  await makeSkeleton(root);
  await runHooks(host, root, recipe, 'root');
  await runHooks(host, root, recipe, 'extra-data');
  await runHooks(host, root, recipe, 'pre-install');
  await applyOverlay(root, recipe.files);
  // A package manager that runs its packages' triggers has done it.
  if (recipe.distribution.packages === 'deb') await linkBusyboxApplets(host, root);
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
