import type { Selection } from './plan.ts';

/** What `npm run prove` is asked for, with every default filled in. */
export interface ProveOptions extends MachineOptions {
  selection: Selection;
  /** Seconds that each step may take. */
  timeout: number;
}

/** How a guest runs. */
export interface MachineOptions {
  /** MiB, of virtual machines. */
  memory: number;
  /** By UEFI instead of BIOS. */
  uefi: boolean;
  /** Absolute: overlays/prove/rootfs of the checkout. */
  wayIn: string;
}
