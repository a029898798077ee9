import type { Host } from '../host/host.ts';
import type { Commit } from '../model.ts';
import { readCommit } from './repository.ts';

/** The releases before a commit, newest first: up to `count`, as far back as the repository has them. */
export async function readHistory(host: Host, commit: Commit, count: number): Promise<Commit[]> {
  const found: Commit[] = [];
  for (let next = commit.parent; next !== undefined && found.length < count; next = found.at(-1)!.parent) {
    const before = await readCommit(host, commit.ref, next);
    if (before === undefined) break;
    found.push(before);
  }
  return found;
}
