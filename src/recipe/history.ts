import type { Origin } from '../model.ts';
import type { Removal } from './lists.ts';

/** What the merge of the layers left behind, for `explain`. */
export interface History {
  packages: readonly Removal[];
  /** Taken back from a list of settings; `value` is the setting's path: `services.default.sshd`. */
  settings: readonly Removal[];
  /** Path in the tree → the more general layers' files that it replaced, general to specific. */
  files: ReadonlyMap<string, readonly Origin[]>;
  /** `phase/name` → the more general layers' hooks that it replaced. */
  hooks: ReadonlyMap<string, readonly Origin[]>;
  /** Setting path → where more general layers said something else. */
  replaced: ReadonlyMap<string, readonly Origin[]>;
}

/** Where values came from, and what they replaced. The last one recorded under a key is the one that counts. */
export class OriginLog {
  readonly origins = new Map<string, Origin>();
  readonly replaced = new Map<string, Origin[]>();

  record(key: string, origin: Origin): void {
    const earlier = this.origins.get(key);
    if (earlier !== undefined) this.replaced.set(key, [...(this.replaced.get(key) ?? []), earlier]);
    this.origins.set(key, origin);
  }
}
