import { stringify } from 'yaml';
import type { Group, Origin, User } from '../model.ts';
import type { Accounts, GroupRecord, UserRecord } from './account-files.ts';

/** What layers say of accounts already. */
export interface StatedAccounts {
  users: readonly User[];
  groups: readonly Group[];
  /** `users.NAME`, `groups.NAME` → where. */
  origins: ReadonlyMap<string, Origin>;
}

/** Entries of layer.yaml; each replaces what a more general layer says of that name, so each is whole. */
export interface Pins {
  users: Record<string, unknown>[];
  groups: Record<string, unknown>[];
}

/**
 * What layer.yaml must say for accounts to have these ids. `users` and `groups` are records of the new tree with the
 * wanted ids; `accounts` know the names of the primary groups.
 */
export function makePins(
  { users, groups }: { users: readonly UserRecord[]; groups: readonly GroupRecord[] },
  { accounts, stated }: { accounts: Accounts; stated: StatedAccounts },
): Pins {
  const pinned = new Map(groups.map((group) => [group.name, group]));
  const groupOf = (user: UserRecord): GroupRecord =>
    [...pinned.values(), ...accounts.groups.values()].find(({ gid }) => gid === user.gid) ?? {
      name: user.name,
      gid: user.gid,
      members: [],
    };
  const primary = new Map(users.map((user) => [user.name, groupOf(user)]));
  for (const group of primary.values()) {
    // A user's group must stand in a layer as well.
    if (stated.groups.some(({ name, gid }) => name === group.name && gid === group.gid)) continue;
    if (!pinned.has(group.name)) pinned.set(group.name, group);
  }
  const members = new Set([...stated.users, ...users].map(({ name }) => name));
  return {
    users: users.map((user) => userPin(user, primary.get(user.name)!.name, stated)),
    groups: [...pinned.values()].map((group) => {
      const known = group.members.filter((name) => members.has(name));
      return { name: group.name, gid: group.gid, ...(known.length > 0 && { members: known }) };
    }),
  };
}

function userPin(user: UserRecord, group: string, stated: StatedAccounts): Record<string, unknown> {
  const { name, uid, gecos, home, shell } = user;
  const password = stated.users.find((known) => known.name === name)?.password ?? '*';
  const origin = stated.origins.get(`users.${name}`);
  return {
    name,
    uid,
    ...(group !== name && { group }),
    ...(isPath(home) && { home }),
    ...(isPath(shell) && { shell }),
    ...(gecos !== '' && { gecos }),
    // Not shown in a terminal; layer.yaml takes a hash only, so that nobody loses his password by forgetting this.
    ...(password !== '*' && { password: `as in ${origin === undefined ? 'the layer' : origin.file}` }),
  };
}

const isPath = (text: string): boolean => /^\/[^:\s]*$/.test(text);

/** As lines of layer.yaml. */
export function formatPins(pins: Pins): string {
  return keysOf(pins)
    .map((key) => `${key}:\n${pins[key].map((pin) => `  - ${inline(pin)}\n`).join('')}`)
    .join('')
    .trimEnd();
}

/** As one line of layer.yaml for each of its keys, joined by `; `. */
export const formatPinsInline = (pins: Pins): string =>
  keysOf(pins)
    .map((key) => `${key}: ${inline(pins[key])}`)
    .join('; ');

const keysOf = (pins: Pins) => (['users', 'groups'] as const).filter((key) => pins[key].length > 0);
const inline = (value: unknown): string =>
  stringify(value, { collectionStyle: 'flow', lineWidth: 0 }).trimEnd();
