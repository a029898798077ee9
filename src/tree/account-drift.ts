import { TreelineError } from '../host/errors.ts';
import type { Host } from '../host/host.ts';
import type { Commit, Origin, Tree } from '../model.ts';
import { readCommittedText } from '../ostree/commit-file.ts';
import { absolutePlace } from '../recipe/problems.ts';
import type { Accounts } from './account-files.ts';
import { parseAccounts } from './account-files.ts';
import type { Pins, StatedAccounts } from './account-pins.ts';
import { formatPins, formatPinsInline, makePins } from './account-pins.ts';
import { existsInTree, readInTree } from './write.ts';

/**
 * Compares the accounts of a finished tree with those of the commit before it: files in /var of running systems belong to
 * numbers, not names. Throws 'recipe' where a name has another id; warns where an id has another name. Without a commit,
 * or without passwd and group in it, there is nothing to compare.
 */
export async function checkAccountDrift(
  host: Host,
  { tree, head }: { tree: Tree; head: Commit | undefined },
): Promise<void> {
  if (head === undefined) return;
  const { recipe, directory } = tree;
  const committed = (path: string): Promise<string | undefined> => readCommittedText(host, head.id, path);
  const built = async (path: string): Promise<string | undefined> =>
    (await existsInTree(directory, path)) ? readInTree(directory, path) : undefined;
  const before = await readAccounts(committed);
  const after = await readAccounts(built);
  const stated: StatedAccounts = { ...recipe.settings, origins: recipe.origins };
  const { drifted, reused } = compareAccounts(before, after);
  if (drifted.length > 0) throw driftError(drifted, { ref: recipe.ref, head, before, after, stated });
  if (reused.length === 0) return;
  const pins = freePins(reused, { before, after, stated });
  const goBack = `ostree --repo=${host.workspace.repository} reset ${recipe.ref} ${head.id}`;
  host.emit({ type: 'warning', text: reuseWarning(reused, { ref: recipe.ref, pins, goBack }) });
}

async function readAccounts(read: (path: string) => Promise<string | undefined>): Promise<Accounts> {
  const [passwd, group] = [await read('usr/etc/passwd'), await read('usr/etc/group')];
  return parseAccounts({ passwd: passwd ?? '', group: group ?? '' });
}

/** A name whose ids changed. */
export interface DriftedName {
  kind: 'user' | 'group';
  name: string;
  /** A user's `gid` is that of the primary group. */
  changes: { id: 'uid' | 'gid'; before: number; after: number }[];
}

/** An id that a new name has now. */
export interface ReusedId {
  kind: 'user' | 'group';
  id: number;
  /** The name that is gone. */
  before: string;
  after: string;
}

/** What changed of names that both have, and which ids of names that are gone went to new ones. Sorted as in `after`. */
export function compareAccounts(
  before: Accounts,
  after: Accounts,
): { drifted: DriftedName[]; reused: ReusedId[] } {
  const drifted: DriftedName[] = [];
  const drift = (kind: DriftedName['kind'], name: string, all: DriftedName['changes']): void => {
    const changes = all.filter((change) => change.before !== change.after);
    if (changes.length > 0) drifted.push({ kind, name, changes });
  };
  for (const [name, { uid, gid }] of after.users) {
    const old = before.users.get(name);
    if (old === undefined) continue;
    drift('user', name, [
      { id: 'uid', before: old.uid, after: uid },
      { id: 'gid', before: old.gid, after: gid },
    ]);
  }
  for (const [name, { gid }] of after.groups) {
    const old = before.groups.get(name);
    if (old !== undefined) drift('group', name, [{ id: 'gid', before: old.gid, after: gid }]);
  }
  const idsOf = ({ users, groups }: Accounts): Record<ReusedId['kind'], Map<string, number>> => ({
    user: new Map([...users].map(([name, { uid }]) => [name, uid])),
    group: new Map([...groups].map(([name, { gid }]) => [name, gid])),
  });
  const [old, now] = [idsOf(before), idsOf(after)];
  const reused = (['user', 'group'] as const).flatMap((kind) => {
    const gone = [...old[kind]].filter(([name]) => !now[kind].has(name));
    const added = [...now[kind]].filter(([name]) => !old[kind].has(name));
    return added.flatMap(([name, id]) =>
      gone
        .filter(([, goneId]) => goneId === id)
        .slice(0, 1)
        .map(([goneName]) => ({ kind, id, before: goneName, after: name })),
    );
  });
  return { drifted, reused };
}

/** The error for names that drifted, with the lines of layer.yaml that give them their old ids. */
export function driftError(
  drifted: readonly DriftedName[],
  about: { ref: string; head: Commit; before: Accounts; after: Accounts; stated: StatedAccounts },
): TreelineError {
  const { ref, head, before, after, stated } = about;
  const rows = drifted.map(({ kind, name, changes }) => {
    const ids = changes.map((change) => `${change.id} ${change.after}, was ${change.before}`).join('; ');
    return `  ${kind} ${name}: ${ids}${statedAt(stated.origins.get(`${kind}s.${name}`))}`;
  });
  const names = (kind: DriftedName['kind']): string[] =>
    drifted.filter((entry) => entry.kind === kind).map(({ name }) => name);
  const pins = makePins(
    {
      users: names('user').map((name) => ({
        ...after.users.get(name)!,
        uid: before.users.get(name)!.uid,
        gid: before.users.get(name)!.gid,
      })),
      groups: names('group').map((name) => ({
        ...after.groups.get(name)!,
        gid: before.groups.get(name)!.gid,
      })),
    },
    { accounts: before, stated },
  );
  const what = drifted.length === 1 ? 'a user or group has another id' : 'users or groups have other ids';
  return new TreelineError(
    'recipe',
    `Cannot commit ${ref}: ${what} than in its commit ${head.version} (${head.id.slice(0, 12)})\n${rows.join('\n')}`,
    {
      hint: `Files in /var of running systems belong to the old ids. Pin them in layer.yaml of a layer of your own (--overlay), docs/layers.md:\n${formatPins(pins)}`,
    },
  );
}

const statedAt = (origin: Origin | undefined): string =>
  origin === undefined ? '' : ` (stated in ${absolutePlace(origin)})`;

/** Ids that nobody had before and nobody has now, for the names that got an id of a name that is gone. */
export function freePins(
  reused: readonly ReusedId[],
  { before, after, stated }: { before: Accounts; after: Accounts; stated: StatedAccounts },
): Pins {
  const taken = new Set(
    [before, after].flatMap(({ users, groups }) => [
      ...[...users.values()].map(({ uid }) => uid),
      ...[...groups.values()].map(({ gid }) => gid),
    ]),
  );
  const free = new Map<string, number>();
  for (const { after: name } of reused) {
    if (free.has(name)) continue;
    let id = 200;
    while (taken.has(id)) id += 1;
    taken.add(id);
    free.set(name, id);
  }
  const has = (kind: ReusedId['kind'], name: string): boolean =>
    reused.some((entry) => entry.kind === kind && entry.after === name);
  const groups = [...after.groups.values()]
    .filter(({ name }) => has('group', name))
    .map((group) => ({ ...group, gid: free.get(group.name)! }));
  const users = [...after.users.values()]
    .filter(({ name }) => has('user', name))
    .map((user) => {
      const group = [...after.groups.values()].find(({ gid }) => gid === user.gid)?.name;
      return {
        ...user,
        uid: free.get(user.name)!,
        gid: groups.find(({ name }) => name === group)?.gid ?? user.gid,
      };
    });
  return makePins({ users, groups }, { accounts: after, stated });
}

/** `goBack`: the command that takes the commit back. One line: that is what a warning is. */
function reuseWarning(
  reused: readonly ReusedId[],
  { ref, pins, goBack }: { ref: string; pins: Pins; goBack: string },
): string {
  const ids = reused.map(
    ({ kind, id, before, after }) =>
      `${kind === 'user' ? 'uid' : 'gid'} ${id} was that of ${kind} ${before}, which is gone, and is now that of ${after}`,
  );
  return `${ref}: ${ids.join('; ')}. What the old one left in /var of running systems would belong to the new one. To prevent that, take this build back (${goBack}) and pin other ids in a layer: ${formatPinsInline(pins)}`;
}
