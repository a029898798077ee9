import type { Host } from '../host/host.ts';
import type { Release, Target } from '../model.ts';
import type { ServedRequest } from '../release/serve.ts';
import type { GuestConsole } from './console.ts';
import { checkContainers, openContainerGround } from './container-ground.ts';
import type { Guest } from './guest.ts';
import { checkMachines, openMachineGround } from './machine-ground.ts';
import type { ProveOptions } from './options.ts';
import type { GuestFacts, WayReport } from './report.ts';

/** What a guest is made from. */
export interface GuestRequest {
  release: Release;
  console: GuestConsole;
  /** A directory for what the guest writes; whoever made it removes it after the guest. */
  scratch: string;
}

/** Where the guests of one target run: with a server that has the release, and a network that leads to it. */
export interface Ground {
  facts: GuestFacts;
  /** What was fetched from below updates/ since the last call. */
  takeDownloads(): WayReport['downloads'];
  /** A guest that has not been started; `host`: its stages and programs. */
  prepare(host: Host, request: GuestRequest): Promise<Guest>;
  close(): Promise<void>;
}

/** Throws TreelineError 'host' where guests of this target cannot run here. */
export const checkGround = (target: Target): void =>
  target === 'vm' ? checkMachines() : checkContainers(target);

export const openGround = (host: Host, target: Target, options: ProveOptions): Promise<Ground> =>
  target === 'vm' ? openMachineGround(host, options) : openContainerGround(host);

/** Keeps account of what a server's clients fetch. */
export class Downloads {
  #seen: WayReport['downloads'] = [];

  /** For serveDirectory. */
  readonly onRequest = ({ path, bytes, status }: ServedRequest): void => {
    const [, file] = /^\/updates\/([^/]+)$/.exec(path) ?? [];
    if (file !== undefined && status < 400) this.#seen = [...this.#seen, { file, bytes }];
  };

  take(): WayReport['downloads'] {
    const seen = this.#seen;
    this.#seen = [];
    return seen;
  }
}
