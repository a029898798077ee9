import { TreelineError } from '../host/errors.ts';
import type { Release, Target } from '../model.ts';
import { compareVersions } from '../release/releases.ts';

/** What is to be shown of one image: that machines with these releases get to the newest one, and back. */
export interface ProofPlan {
  ref: string;
  target: Target;
  newest: Release;
  /** The release before the newest, and the oldest one that is kept; one where both are the same, none where there is none. */
  from: readonly Release[];
}

/** The part of the update index that counts here. */
interface OfferedCommits {
  refs: Readonly<Record<string, { commit: string }>>;
}

/** Which images are meant. */
export interface Selection {
  /** `debian`, or with the release, `debian-12`; undefined: all. */
  base: string | undefined;
  /** Empty: all. */
  targets: readonly Target[];
}

/**
 * Pure: one plan for each image that is meant and has a release, sorted by ref. Throws 'update' where the index
 * does not offer the newest release of an image that has older ones: no machine would get it.
 */
export function planProofs(
  releases: readonly Release[],
  { index, selection }: { index: OfferedCommits; selection: Selection },
): ProofPlan[] {
  const refs = [...new Set(releases.map(({ manifest }) => manifest.ref))].toSorted();
  return refs
    .filter((ref) => isMeant(ref, selection))
    .map((ref) => {
      const target = targetOf(ref);
      const [newest, ...older] = releases
        .filter(({ manifest }) => manifest.ref === ref)
        .toSorted((a, b) => compareVersions(b.manifest.version, a.manifest.version));
      const from = [...new Set([older[0], older.at(-1)])].filter((release) => release !== undefined);
      if (from.length > 0) requireOffer(newest!, index.refs[ref]?.commit);
      return { ref, target, newest: newest!, from };
    });
}

/** `ref`: treeline/<distro>-<release>/<arch>/<target>. */
const targetOf = (ref: string): Target => ref.split('/').at(-1) as Target;

function isMeant(ref: string, { base, targets }: Selection): boolean {
  const own = ref.split('/')[1]!;
  return (
    (base === undefined || own === base || own.startsWith(`${base}-`)) &&
    (targets.length === 0 || targets.includes(targetOf(ref)))
  );
}

function requireOffer({ manifest: { ref, version, commit } }: Release, offered: string | undefined): void {
  if (offered === commit) return;
  throw new TreelineError(
    'update',
    `Cannot prove ${ref} ${version}: the update index offers ${offered === undefined ? 'nothing' : `commit ${offered.slice(0, 12)}`}`,
    { hint: 'Make the deltas and the index first: npm run build-update' },
  );
}
