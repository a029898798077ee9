import type { Host } from '../host/host.ts';
import type { Lock, PackageSet, Recipe } from '../model.ts';

/** Where packages come from, as far as the command line decides it. */
export interface PackageOptions {
  /** URLs or directories, in order of preference; empty: what the recipe says. */
  mirrors: readonly string[];
  /** Use only what is on this machine. */
  offline: boolean;
  /** Ask the mirrors for new package lists even where the known ones are recent. */
  refresh: boolean;
}

/** A package manager: how a recipe's packages are found and fetched. */
export interface PackageBackend {
  /** Decides the exact packages. Throws 'package' naming one that does not exist and the layer that asked for it. */
  resolve(host: Host, recipe: Recipe, options: PackageOptions): Promise<Lock>;
  /** Brings every package of the lock into the cache and verifies it. Throws 'network' or 'package'. */
  fetch(host: Host, lock: Lock, recipe: Recipe, options: PackageOptions): Promise<PackageSet>;
}
