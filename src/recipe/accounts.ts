import { knownNamesHint } from '../host/nearest.ts';
import type { Group, Origin, User } from '../model.ts';
import type { OriginLog } from './history.ts';
import type { LayerFile } from './layer-file.ts';
import type { ReadLayerFile } from './layer-reader.ts';
import { compareText } from './problems.ts';
import type { Problems } from './problems.ts';

export interface Accounts {
  /** Sorted by id. */
  users: User[];
  /** Sorted by id. */
  groups: Group[];
}

type WrittenUser = NonNullable<LayerFile['users']>[number];
type WrittenGroup = NonNullable<LayerFile['groups']>[number];
type Placed<T> = T & { origin: Origin };

/** Users and groups of all layers; one of the same name in a more specific layer replaces the general one whole. */
export function mergeAccounts(files: readonly ReadLayerFile[], log: OriginLog, problems: Problems): Accounts {
  const users = [...mergeNamed<WrittenUser>(files, 'users', log, problems).values()];
  const groups = mergeNamed<WrittenGroup>(files, 'groups', log, problems);
  for (const { name, uid, group = name, origin } of users) {
    if (group !== name || groups.has(name)) continue;
    groups.set(name, { name, gid: uid, origin });
    log.record(`groups.${name}`, origin);
  }
  checkUnique(users, (user) => user.uid, 'uid', problems);
  checkUnique([...groups.values()], (group) => group.gid, 'gid', problems);
  checkReferences(users, groups, problems);
  return {
    users: users.map(complete).toSorted((one, two) => one.uid - two.uid || compareText(one.name, two.name)),
    groups: [...groups.values()]
      .map(({ name, gid, members = [] }) => ({ name, gid, members: [...new Set(members)].toSorted() }))
      .toSorted((one, two) => one.gid - two.gid || compareText(one.name, two.name)),
  };
}

function mergeNamed<T extends { name: string }>(
  files: readonly ReadLayerFile[],
  kind: 'users' | 'groups',
  log: OriginLog,
  problems: Problems,
): Map<string, Placed<T>> {
  const merged = new Map<string, Placed<T>>();
  for (const { file, origin } of files) {
    const seen = new Set<string>();
    for (const [index, entry] of ((file[kind] ?? []) as unknown as T[]).entries()) {
      const at = origin(kind, index);
      if (seen.has(entry.name)) problems.add(at, `${kind}: ${entry.name} stands twice in this file`);
      seen.add(entry.name);
      merged.set(entry.name, { ...entry, origin: at });
      log.record(`${kind}.${entry.name}`, at);
    }
  }
  return merged;
}

function checkUnique<T extends { name: string; origin: Origin }>(
  entries: readonly T[],
  id: (entry: T) => number,
  word: string,
  problems: Problems,
): void {
  const owners = new Map<number, T>();
  for (const entry of entries) {
    const earlier = owners.get(id(entry));
    if (earlier !== undefined) {
      const where = `${earlier.origin.layer}, line ${earlier.origin.line ?? 0}`;
      problems.add(
        entry.origin,
        `${word} ${id(entry)} of ${entry.name} is already that of ${earlier.name} (${where})`,
      );
    }
    owners.set(id(entry), entry);
  }
}

function checkReferences(
  users: readonly Placed<WrittenUser>[],
  groups: ReadonlyMap<string, Placed<WrittenGroup>>,
  problems: Problems,
): void {
  const userNames = users.map((user) => user.name);
  for (const { name, group = name, origin } of users) {
    if (groups.has(group)) continue;
    problems.add(
      origin,
      `user ${name}: there is no group ${group}. ${knownNamesHint(group, [...groups.keys()])}`,
    );
  }
  for (const { name, members = [], origin } of groups.values()) {
    for (const member of members.filter((candidate) => !userNames.includes(candidate))) {
      problems.add(origin, `group ${name}: there is no user ${member}. ${knownNamesHint(member, userNames)}`);
    }
  }
}

function complete({ name, uid, group, home, shell, gecos, password }: WrittenUser): User {
  const isPerson = uid >= 1000 && name !== 'nobody';
  return {
    name,
    uid,
    group: group ?? name,
    home: home ?? (uid === 0 ? '/root' : isPerson ? `/home/${name}` : '/var/empty'),
    shell: shell ?? (uid === 0 || isPerson ? '/bin/sh' : '/sbin/nologin'),
    gecos: gecos ?? '',
    password: password ?? '*',
  };
}
