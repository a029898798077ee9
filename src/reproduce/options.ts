import type { BuildOptions } from '../options.ts';
import type { Target } from '../model.ts';
import type { Replay } from '../replay.ts';
import type { NamedKeys } from '../ostree/user-keys.ts';

/** What `npm run reproduce` is asked for, with every default filled in. */
export interface ReproduceOptions {
  /** The checkout, absolute. */
  home: string;
  /** What is built twice: one for each target, alike in all else. */
  requests: readonly BuildOptions[];
  /** A published release to compare one build with, instead of a second one. */
  against: Replay | undefined;
  /** Of the user's own; undefined: the workspace's. */
  signKeys: NamedKeys | undefined;
  /** The target whose update is made and compared as well. */
  update: Target | undefined;
  /** Whether both directories stay. */
  keep: boolean;
}
