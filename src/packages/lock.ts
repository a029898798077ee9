import { sha256 } from '../host/files.ts';
import type { Distribution, Lock, LockedPackage } from '../model.ts';

/** Puts packages into a lock: sorted, with the digest that names exactly this set. */
export function makeLock(distribution: Distribution, packages: readonly LockedPackage[]): Lock {
  const sorted = packages.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const identity = sorted.map(
    (entry) => `${entry.name} ${entry.version} ${entry.architecture} ${entry.sha256}\n`,
  );
  return { distribution, packages: sorted, digest: sha256(identity.join('')) };
}

/** The lock as it lies beside the artifacts: JSON, one package a line. */
export function formatLock(lock: Lock): string {
  const lines = lock.packages.map((entry) => `    ${JSON.stringify(entry)}`);
  const distribution = JSON.stringify(lock.distribution);
  return `{\n  "distribution": ${distribution},\n  "digest": "${lock.digest}",\n  "packages": [\n${lines.join(',\n')}\n  ]\n}\n`;
}
