import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { TreelineError } from '../../src/host/errors.ts';
import type { Event } from '../../src/host/events.ts';
import type { Host } from '../../src/host/host.ts';
import { createHost } from '../../src/host/host.ts';
import { openLog } from '../../src/host/log.ts';
import { openWorkspace } from '../../src/host/workspace.ts';

/** A directory below /tmp (short, since GnuPG's sockets lie in it) that disappears with the test. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'tl-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

export interface TemporaryHost extends Host {
  /** All that was emitted, in order. */
  readonly events: readonly Event[];
  /** As Ctrl-C does. */
  stop(): void;
}

/** A Host on a workspace of its own, with a real log, that disappears with the test. */
export function temporaryHost(root = temporaryDirectory()): TemporaryHost {
  const workspace = openWorkspace(root);
  mkdirSync(workspace.logs, { recursive: true });
  const log = openLog(join(workspace.logs, 'test.log'));
  onTestFinished(() => log.close());
  const events: Event[] = [];
  const controller = new AbortController();
  const listeners = [(event: Event): void => void events.push(event)];
  const host = createHost({ workspace, log, signal: controller.signal, listeners });
  return {
    ...host,
    events,
    stop: () => controller.abort(new TreelineError('cancelled', 'Stopped before the end')),
  };
}

/** The TreelineError that the work ends with; anything else, success as well, is thrown. */
export async function errorOf(work: Promise<unknown>): Promise<TreelineError> {
  let result: unknown;
  try {
    result = await work;
  } catch (error) {
    if (error instanceof TreelineError) return error;
    throw error;
  }
  throw new Error(`no error, but ${JSON.stringify(result)}`);
}
