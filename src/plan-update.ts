import type { Host } from './host/host.ts';
import type { Commit } from './model.ts';
import { readHistory } from './ostree/history.ts';
import type { PlannedDelta } from './ostree/plan-deltas.ts';
import { planDeltas } from './ostree/plan-deltas.ts';
import { readCommit } from './ostree/repository.ts';
import type { SigningKeys } from './ostree/signing.ts';
import { readTrustedKeys } from './ostree/trusted-keys.ts';
import type { IndexedHead, UpdateIndex } from './release/update-index.ts';
import { presentDeltas } from './release/update-index.ts';

/** What one image's part of an update is. */
export interface Plan {
  head: IndexedHead;
  deltas: PlannedDelta[];
}

/** `count`: from how many of the last releases a delta leads to the new one. */
export async function planUpdate(
  host: Host,
  commit: Commit,
  { index, keys, count }: { index: UpdateIndex; keys: SigningKeys; count: number },
): Promise<Plan> {
  const existing = await presentDeltas(host.workspace, index);
  // Where a delta is there, this was found out when it was made.
  const isAble = async (start: Commit): Promise<boolean> =>
    existing.some(({ from, to }) => from === start.id && to === commit.id) ||
    (await acceptsKeys(host, start, keys));
  const before: Commit[] = [];
  for (const start of await readHistory(host, commit, count)) if (await isAble(start)) before.push(start);
  const offered = await readOffered();
  const starts = [...before, ...(offered === undefined ? [] : [offered])].map(({ id }) => id);
  return {
    head: { commit, before: [...new Set(starts)].filter((id) => id !== commit.id) },
    deltas: planDeltas(commit, { before, offered, existing }),
  };

  async function readOffered(): Promise<Commit | undefined> {
    const id = index.refs[commit.ref]?.commit;
    if (id === undefined) return undefined;
    const known = [commit, ...before].find((one) => one.id === id);
    if (known !== undefined) return known;
    const read = await readCommit(host, commit.ref, id);
    return read !== undefined && (await isAble(read)) ? read : undefined;
  }
}

/** A tree that names no keys at all is one of the user's own kind, and checks in its own way. */
export async function acceptsKeys(host: Host, commit: Commit, keys: SigningKeys): Promise<boolean> {
  const trusted = await readTrustedKeys(host, keys, commit.id);
  return trusted.length === 0 || trusted.some((key) => keys.fingerprints.includes(key));
}
