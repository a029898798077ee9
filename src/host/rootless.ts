import { readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import type { HostUser, SubordinateRange } from './subordinate-ids.ts';
import { findRange, freeRange, neededIds, parseSubordinateIds } from './subordinate-ids.ts';
import { findMissing, installCommand } from './tools.ts';

/** Something that this machine lacks for building as an ordinary user. */
export interface Lack {
  what: string;
  /** What root types to mend it. */
  command: string;
}

/** What decides whether an ordinary user may have a user namespace with ids of its own. */
export interface RootlessFacts {
  user: HostUser;
  /** Packages that have newuidmap(1) and newgidmap(1), where they are missing. */
  missingPackages: readonly string[];
  users: readonly SubordinateRange[];
  groups: readonly SubordinateRange[];
  /** A kernel setting as sysctl(8) names it; undefined where this kernel has none of that name. */
  setting(name: string): string | undefined;
}

/** The user who runs the program; behind sudo(8), who ran that. */
export function callingUser(): HostUser {
  const { SUDO_USER: name, SUDO_UID: uid } = process.env;
  if (process.getuid!() === 0 && name !== undefined && uid !== undefined) return { name, uid: Number(uid) };
  return currentUser();
}

/** A uid that has no account stands for itself, as in containers. */
export function currentUser(): HostUser {
  const uid = process.getuid!();
  try {
    return { name: userInfo().username, uid };
  } catch {
    return { name: String(uid), uid };
  }
}

/** Looks at this machine. */
export function readRootlessFacts(user: HostUser): RootlessFacts {
  const ranges = (path: string): SubordinateRange[] => parseSubordinateIds(readIfThere(path) ?? '');
  return {
    user,
    missingPackages: findMissing(['rootless']).packages,
    users: ranges('/etc/subuid'),
    groups: ranges('/etc/subgid'),
    setting: (name) => readIfThere(`/proc/sys/${name.replaceAll('.', '/')}`)?.trim(),
  };
}

/** Pure: all that is missing. AppArmor's restriction is not among it, because it lets some programs pass: see `appArmorLack`. */
export function findLacks({ user, missingPackages, users, groups, setting }: RootlessFacts): Lack[] {
  const lacks: Lack[] = [];
  if (missingPackages.length > 0) {
    lacks.push({
      what: `newuidmap and newgidmap (package ${missingPackages.join(', ')})`,
      command: installCommand(missingPackages),
    });
  }
  const absent = [
    { file: '/etc/subuid', option: '--add-subuids', ranges: users },
    { file: '/etc/subgid', option: '--add-subgids', ranges: groups },
  ].filter(({ ranges }) => findRange(ranges, user) === undefined);
  if (absent.length > 0) {
    const first = freeRange([...users, ...groups]);
    const options = absent.map(({ option }) => `${option} ${first}-${first + neededIds - 1}`);
    lacks.push({
      what: `${neededIds} ids for ${user.name} in ${absent.map(({ file }) => file).join(' and ')}`,
      command: `usermod ${options.join(' ')} ${user.name}`,
    });
  }
  // Debian's own, of its older kernels.
  if (setting('kernel.unprivileged_userns_clone') === '0') {
    lacks.push(settingLack('kernel.unprivileged_userns_clone', '0', '1'));
  }
  if (setting('user.max_user_namespaces') === '0') {
    lacks.push(settingLack('user.max_user_namespaces', '0', '15000'));
  }
  return lacks;
}

/** Pure: why a namespace that was made has no rights: Ubuntu's AppArmor, from 23.10 on, allows that to programs with a profile. */
export const appArmorLack = ({ setting }: RootlessFacts): Lack[] =>
  setting('kernel.apparmor_restrict_unprivileged_userns') === '1'
    ? [settingLack('kernel.apparmor_restrict_unprivileged_userns', '1', '0')]
    : [];

function settingLack(name: string, is: string, wanted: string): Lack {
  return {
    what: `user namespaces for ordinary users (${name} is ${is})`,
    command: `echo ${name}=${wanted} > /etc/sysctl.d/60-${name}.conf && sysctl --system`,
  };
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
