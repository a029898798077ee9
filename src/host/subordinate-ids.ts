/** A run of user or group ids of the machine that an ordinary user may give away in a user namespace. */
export interface SubordinateRange {
  /** The owner as the file has it: a name or a number. */
  owner: string;
  first: number;
  count: number;
}

/** A person's account on this machine. */
export interface HostUser {
  name: string;
  uid: number;
}

/** Ids 0 to 65535: all that a tree’s files can belong to, nobody (65534) among them. */
export const neededIds = 65_536;

/** Pure: the ranges of a file in the format of subuid(5). Lines that newuidmap(1) would not understand are left out. */
export function parseSubordinateIds(text: string): SubordinateRange[] {
  return text.split('\n').flatMap((line) => {
    const [, owner, first, count] = /^([^:#\s][^:]*):(\d+):(\d+)\s*$/.exec(line) ?? [];
    return owner === undefined ? [] : [{ owner, first: Number(first), count: Number(count) }];
  });
}

/** The first of a user's ranges that is large enough for a tree. */
export const findRange = (
  ranges: readonly SubordinateRange[],
  { name, uid }: HostUser,
): SubordinateRange | undefined =>
  ranges.find(({ owner, count }) => (owner === name || owner === String(uid)) && count >= neededIds);

/** Where a range may begin that no other one overlaps: useradd(8) gives them out from 100000 on. */
export const freeRange = (ranges: readonly SubordinateRange[]): number =>
  Math.max(100_000, ...ranges.map(({ first, count }) => first + count));
