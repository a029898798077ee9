/** A record of passwd(5). */
export interface UserRecord {
  name: string;
  uid: number;
  /** Of the primary group. */
  gid: number;
  gecos: string;
  home: string;
  shell: string;
}

/** A record of group(5). */
export interface GroupRecord {
  name: string;
  gid: number;
  members: readonly string[];
}

/** A system's accounts by name. */
export interface Accounts {
  users: ReadonlyMap<string, UserRecord>;
  groups: ReadonlyMap<string, GroupRecord>;
}

/** Reads the texts of passwd(5) and group(5). Malformed lines are ignored; of two records of a name the first counts, as for getpwnam(3). */
export function parseAccounts({ passwd, group }: { passwd: string; group: string }): Accounts {
  const users = fieldsOf(passwd).flatMap(([name, , uid, gid, gecos = '', home = '', shell = '']) =>
    isName(name) && isId(uid) && isId(gid)
      ? [{ name, uid: Number(uid), gid: Number(gid), gecos, home, shell }]
      : [],
  );
  const groups = fieldsOf(group).flatMap(([name, , gid, members = '']) =>
    isName(name) && isId(gid)
      ? [{ name, gid: Number(gid), members: members.split(',').filter((member) => member !== '') }]
      : [],
  );
  return { users: byName(users), groups: byName(groups) };
}

const fieldsOf = (text: string): (string | undefined)[][] =>
  text.split('\n').map((line) => line.replace(/\r$/, '').split(':'));
const isName = (text: string | undefined): text is string => text !== undefined && /^[^\s#]\S*$/.test(text);
const isId = (text: string | undefined): text is string => text !== undefined && /^\d{1,10}$/.test(text);
const byName = <T extends { name: string }>(records: readonly T[]): Map<string, T> =>
  new Map(records.toReversed().map((record) => [record.name, record]));
