import type { Group, User } from '../model.ts';

/** Lines of passwd(5), group(5) and shadow(5), without their ends. */
export interface AccountRecords {
  passwd: string[];
  group: string[];
  shadow: string[];
}

/**
 * The recipe's accounts as records, by id. Dates of password changes are left empty, so that they do not drift; the fields
 * behind them are filled with shadow's defaults, because busybox takes no record in which all are empty.
 */
export function accountRecords(users: readonly User[], groups: readonly Group[]): AccountRecords {
  const gidOf = new Map(groups.map((group) => [group.name, group.gid]));
  const byUid = users.toSorted((a, b) => a.uid - b.uid);
  return {
    passwd: byUid.map(
      ({ name, uid, group, gecos, home, shell }) =>
        `${name}:x:${uid}:${gidOf.get(group) ?? uid}:${gecos}:${home}:${shell}`,
    ),
    group: groups
      .toSorted((a, b) => a.gid - b.gid)
      .map(({ name, gid, members }) => `${name}:x:${gid}:${members.join(',')}`),
    shadow: byUid.map(({ name, password }) => `${name}:${password}::0:99999:7:::`),
  };
}

/**
 * The text of one of the three files with records put in: where the file has the name, in that place, else behind all
 * others. A group keeps the members that it has.
 */
export function withRecords(kind: keyof AccountRecords, text: string, records: readonly string[]): string {
  const present = text.split('\n').filter((line) => line !== '');
  const ours = new Map(records.map((record) => [nameOf(record), record]));
  const known = new Set(present.map(nameOf));
  const lines = present.map((line) => {
    const record = ours.get(nameOf(line));
    if (record === undefined) return line;
    return kind === 'group' ? withMembersOf(record, line) : record;
  });
  const added = records.filter((record) => !known.has(nameOf(record)));
  return [...lines, ...added].map((line) => `${line}\n`).join('');
}

function withMembersOf(record: string, line: string): string {
  const fields = record.split(':');
  const members = [line, record].flatMap((text) => (text.split(':')[3] ?? '').split(','));
  return [...fields.slice(0, 3), [...new Set(members)].filter((member) => member !== '').join(',')].join(':');
}

const nameOf = (record: string): string => record.split(':')[0]!;
