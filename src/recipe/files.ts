import { dirname } from 'node:path';
import type { Origin, OverlayFile, Settings } from '../model.ts';
import { compareText, place } from './problems.ts';
import type { Problems } from './problems.ts';

export interface MergedFiles {
  /** Sorted by path. */
  files: OverlayFile[];
  /** Path → the more general layers' files that it replaced. */
  replaced: Map<string, Origin[]>;
}

/**
 * The files of all layers, one list a layer, general to specific: the most specific one of a path counts. A directory
 * and something else at one path, or something below a file or a link, are problems.
 */
export function mergeFiles(lists: readonly (readonly OverlayFile[])[], problems: Problems): MergedFiles {
  const merged = new Map<string, OverlayFile>();
  const replaced = new Map<string, Origin[]>();
  for (const file of lists.flat()) {
    const general = merged.get(file.path);
    const conflict = findConflict(file, general, merged);
    if (conflict !== undefined) problems.add(file.origin, conflict);
    else if (general?.kind === 'directory') continue;
    else {
      if (general !== undefined)
        replaced.set(file.path, [...(replaced.get(file.path) ?? []), general.origin]);
      merged.set(file.path, file);
    }
  }
  return { files: [...merged.values()].toSorted((one, two) => compareText(one.path, two.path)), replaced };
}

function findConflict(
  file: OverlayFile,
  general: OverlayFile | undefined,
  merged: ReadonlyMap<string, OverlayFile>,
): string | undefined {
  const against = (other: OverlayFile, verb: string): string =>
    `is a ${words[file.kind]}, but ${place(other.origin)} ${verb} a ${words[other.kind]}`;
  if (general !== undefined) {
    if ((general.kind === 'directory') !== (file.kind === 'directory')) return against(general, 'is');
    if (file.kind !== 'directory' && general.origin.layer === file.origin.layer) {
      return `is the same file in the tree as ${place(general.origin)}: /${file.path}`;
    }
  }
  for (let parent = dirname(file.path); parent !== '.'; parent = dirname(parent)) {
    const above = merged.get(parent);
    if (above !== undefined && above.kind !== 'directory')
      return `lies below /${parent}, but ${place(above.origin)} is a ${words[above.kind]}`;
  }
  return undefined;
}

const words: Readonly<Record<OverlayFile['kind'], string>> = {
  file: 'file',
  directory: 'directory',
  symlink: 'link',
};

/** The files with the modes and owners that settings give them. */
export function applyPermissions(
  files: readonly OverlayFile[],
  permissions: Settings['permissions'],
  { origins, problems }: { origins: ReadonlyMap<string, Origin>; problems: Problems },
): OverlayFile[] {
  const byPath = new Map(permissions.map((permission) => [permission.path, permission]));
  return files.map((file) => {
    const permission = byPath.get(file.path);
    if (permission === undefined) return file;
    const { mode = file.mode, uid = file.uid, gid = file.gid } = permission;
    const origin = origins.get(`permissions.${file.path}`);
    if (file.kind === 'symlink' && permission.mode !== undefined && origin !== undefined) {
      problems.add(origin, `a link has no mode of its own: ${place(file.origin)}`);
    }
    return { ...file, mode, uid, gid };
  });
}
