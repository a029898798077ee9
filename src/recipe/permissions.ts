import { knownNamesHint } from '../host/nearest.ts';
import type { Settings } from '../model.ts';
import type { Accounts } from './accounts.ts';
import type { OriginLog } from './history.ts';
import type { ReadLayerFile } from './layer-reader.ts';
import { compareText } from './problems.ts';
import type { Problems } from './problems.ts';
import { fromRoot, throughRootLinks } from './tree-paths.ts';

type Permission = Settings['permissions'][number];

/** Permissions of all layers, sorted by path, names turned into numbers; the most specific one of a path counts. */
export function mergePermissions(merge: {
  files: readonly ReadLayerFile[];
  accounts: Accounts;
  log: OriginLog;
  problems: Problems;
}): Permission[] {
  const { files, accounts, log, problems } = merge;
  const users = new Map([['root', 0], ...accounts.users.map((user) => [user.name, user.uid] as const)]);
  const groups = new Map([['root', 0], ...accounts.groups.map((group) => [group.name, group.gid] as const)]);
  const merged = new Map<string, Permission>();
  for (const { file, origin } of files) {
    for (const [index, { path: written, mode, owner, group }] of (file.permissions ?? []).entries()) {
      const numberOf = (
        key: 'owner' | 'group',
        value: string | number | undefined,
        known: Map<string, number>,
      ): number | undefined => {
        if (typeof value !== 'string') return value;
        const number = known.get(value);
        if (number === undefined) {
          const kind = key === 'owner' ? 'user' : 'group';
          problems.add(
            origin('permissions', index, key),
            `${written}: there is no ${kind} ${value}. ${knownNamesHint(value, [...known.keys()])}`,
          );
        }
        return number;
      };
      const path = throughRootLinks(fromRoot(written));
      const uid = numberOf('owner', owner, users);
      const gid = numberOf('group', group, groups);
      merged.set(path, {
        path,
        ...(mode !== undefined && { mode: Number.parseInt(mode, 8) }),
        ...(uid !== undefined && { uid }),
        ...(gid !== undefined && { gid }),
      });
      log.record(`permissions.${path}`, origin('permissions', index));
    }
  }
  return [...merged.values()].toSorted((one, two) => compareText(one.path, two.path));
}
