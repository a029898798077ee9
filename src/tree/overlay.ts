import type { OverlayFile } from '../model.ts';
import { putCopy, putDirectory, putLink } from './write.ts';

/** Lays the layers' files over the tree. */
export async function applyOverlay(root: string, files: readonly OverlayFile[]): Promise<void> {
  for (const { path, kind, source, link, mode, uid, gid } of files) {
    if (kind === 'directory') await putDirectory(root, path, { mode, uid, gid });
    else if (kind === 'symlink') await putLink(root, path, link!, { uid, gid });
    else await putCopy(root, path, source, { mode, uid, gid });
  }
}
