import { TreelineError } from '../host/errors.ts';
import type { OverlayFile, Recipe } from '../model.ts';
import { existsInTree, putCopy, putDirectory, putLink, setPermissions } from './write.ts';

/** Lays the layers' files over the tree. */
export async function applyOverlay(root: string, files: readonly OverlayFile[]): Promise<void> {
  for (const { path, kind, source, link, mode, uid, gid } of files) {
    if (kind === 'directory') await putDirectory(root, path, { mode, uid, gid });
    else if (kind === 'symlink') await putLink(root, path, link!, { uid, gid });
    else await putCopy(root, path, source, { mode, uid, gid });
  }
}

/** Gives paths the modes and owners that the recipe states, whoever brought them. Throws 'recipe' for one that is not there. */
export async function applyPermissions(root: string, { settings, origins }: Recipe): Promise<void> {
  for (const permission of settings.permissions) {
    if (!(await existsInTree(root, permission.path))) {
      const origin = origins.get(`permissions.${permission.path}`);
      throw new TreelineError(
        'recipe',
        `Cannot set permissions of /${permission.path}: the tree has no such path`,
        {
          hint: `Correct it in ${origin?.file ?? 'the layer that states it'}; npm run explain shows where it comes from.`,
        },
      );
    }
    await setPermissions(root, permission.path, permission);
  }
}
