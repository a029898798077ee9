/** What a person reads of: rows of the result. */
export type Kind =
  | 'packages'
  | 'package lists'
  | 'unpacked packages'
  | 'merges'
  | 'commits'
  | 'deltas'
  | 'served copy'
  | 'logs'
  | 'unfinished work'
  | 'other';

/** Something that can be removed by itself. */
export interface Thing {
  kind: Kind;
  /** A path (absolute), or a ref. */
  name: string;
  /** On disk; 0 for refs, whose objects are counted together. */
  bytes: number;
  /** Seconds since 1970. */
  lastUsed: number;
  /** Whether a head, a release in the output directory or the update index is made of it. */
  needed: boolean;
}

export interface Policy {
  /** What is not needed goes when it was not used for so long. */
  days: number;
  /** What can be made again goes, needed or not. */
  all: boolean;
  /** Seconds since 1970. */
  now: number;
}

/** Whether a thing goes. */
export const goes = ({ needed, lastUsed }: Thing, policy: Policy): boolean =>
  policy.all || (!needed && lastUsed <= usedBefore(policy));

/** What is known of a repository's commits. */
export interface CommitFacts {
  stored: readonly { id: string; made: number }[];
  /** That refs lead to which stay. */
  roots: readonly string[];
  /** The commits of each ref of ours, newest first: the head, its parent, … */
  histories: readonly (readonly string[])[];
  /** By releases, the update index, or a person's own refs. */
  named: ReadonlySet<string>;
  /** To be found again by what they were made of. */
  remembered: ReadonlySet<string>;
  /** From how many releases before the next one deltas lead to it. */
  deltas: number;
}

/**
 * Which commits stay: heads and those before them that the next deltas start from, what releases and index name, and for
 * the policy's days those that were superseded or never published.
 */
export function commitsThatStay(facts: CommitFacts, policy: Policy): Set<string> {
  const made = new Map(facts.stored.map((commit) => [commit.id, commit.made]));
  const recent = (id: string): boolean => !policy.all && made.get(id)! > usedBefore(policy);
  const inHistory = facts.histories.flatMap((history) =>
    // A commit is superseded when the one after it is made. Deltas to the head itself may be still to come, too.
    history.filter((_, index) => index <= facts.deltas || recent(history[index - 1]!)),
  );
  const published = new Set(facts.histories.flat());
  const unpublished = facts.stored
    .map(({ id }) => id)
    .filter((id) => !published.has(id) && (recent(id) || (!policy.all && facts.remembered.has(id))));
  return new Set([...facts.roots, ...inHistory, ...facts.named, ...unpublished].filter((id) => made.has(id)));
}

const usedBefore = ({ now, days }: Policy): number => now - days * 86_400;
