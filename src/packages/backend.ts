import type { Host } from '../host/host.ts';
import type { Lock, PackageSet, Recipe } from '../model.ts';

/** Where packages come from, as far as the command line decides it. */
export interface PackageOptions {
  /** URLs or directories, in order of preference; empty: what the recipe says. */
  mirrors: readonly string[];
  /** A file with the exact packages, absolute; undefined: the newest that the mirrors have. */
  lock?: string | undefined;
  /** Use only what is on this machine. */
  offline: boolean;
  /** Ask the mirrors for new package lists even where the known ones are recent. */
  refresh: boolean;
}

/** A package manager: how a recipe's packages are found and fetched. */
export interface PackageBackend {
  /** Decides the exact packages. Throws 'package' naming one that does not exist and the layer that asked for it. */
  resolve(host: Host, recipe: Recipe, options: PackageOptions): Promise<Lock>;
  /**
   * Writes the packages of these locks as a mirror below `directory`, from which the same locks can be built again.
   * Returns their number; undefined where the distribution's packages cannot be kept this way.
   */
  vendor?(
    host: Host,
    images: readonly { recipe: Recipe; lock: Lock; options: PackageOptions }[],
    directory: string,
  ): Promise<number>;
  /** Brings every package of the lock into the cache and verifies it. Throws 'network' or 'package'. */
  fetch(host: Host, lock: Lock, recipe: Recipe, options: PackageOptions): Promise<PackageSet>;
}
