import { TreelineError } from '../host/errors.ts';
import type { GuestConsole } from './console.ts';
import { orAborted } from './waiting.ts';

export interface GuestOutput {
  /** Standard output and error, trimmed at the end. */
  output: string;
  exitCode: number;
}

/** A scratch copy of a published image or template as a running system. All waiting ends when `signal` is aborted. */
export interface Guest {
  readonly console: GuestConsole;
  /** Where the guest reaches the server that has the release; no slash at the end. */
  readonly updateUrl: string;
  /** Starts it. Not called again while it runs. */
  start(signal: AbortSignal): Promise<void>;
  /** Runs a shell command as root; waits until the guest lets us in. */
  run(command: string, signal: AbortSignal): Promise<GuestOutput>;
  /** Restarts it from the inside. Resolves when the new start has begun. */
  restart(signal: AbortSignal): Promise<void>;
  /** Resolves, with the reason, where the guest ends by itself. */
  ended(): Promise<string>;
  /** Ends it and removes all that was made for it. */
  remove(): Promise<void>;
}

/** The last service says it, and after it the health checks, where the version has them. */
const verdictPattern = /treeline: (?:health: (good|failed|fell back)\b(.*)|default runlevel reached, (.*))/;

/**
 * Waits until a guest that has just been started says that it is well: in words for the report. Throws 'update' where
 * it says anything else, or ends.
 */
export async function waitUntilHealthy(guest: Guest, signal: AbortSignal): Promise<string> {
  const [, verdict, details, services] = await waitForVerdict(guest, signal);
  if (verdict === 'good') return 'healthy';
  if (verdict !== undefined) throw new TreelineError('update', `health: ${verdict}${details}`);
  // Versions before the health checks say no more than this.
  if (!(await hasHealthChecks(guest, signal))) return judgeServices(services!);
  return waitUntilHealthy(guest, signal);
}

async function waitForVerdict(guest: Guest, signal: AbortSignal): Promise<RegExpExecArray> {
  const ended = guest.ended().then((reason) => {
    throw new TreelineError('update', `it ended before it said that it is healthy: ${reason}`);
  });
  return Promise.race([guest.console.waitFor(verdictPattern, signal), ended]);
}

async function hasHealthChecks(guest: Guest, signal: AbortSignal): Promise<boolean> {
  const { exitCode } = await runInGuest(guest, 'test -x /usr/lib/treeline/check-boot', signal);
  return exitCode === 0;
}

function judgeServices(text: string): string {
  if (text.startsWith('0 services failed')) return 'all services started (it has no health checks)';
  throw new TreelineError('update', text.trim());
}

/** The same as `guest.run`; throws 'update' where the guest ends before it has answered. */
export function runInGuest(guest: Guest, command: string, signal: AbortSignal): Promise<GuestOutput> {
  const ended = guest.ended().then((reason): never => {
    throw new TreelineError('update', `it ended during ${command}: ${reason}`);
  });
  return orAborted(Promise.race([guest.run(command, signal), ended]), signal);
}

/** Output of a command that must succeed; throws 'update' with what it said. */
export async function textFromGuest(guest: Guest, command: string, signal: AbortSignal): Promise<string> {
  const { output, exitCode } = await runInGuest(guest, command, signal);
  if (exitCode === 0) return output;
  const words = command.split('\n')[0]!;
  throw new TreelineError('update', `"${words}" ended with exit code ${exitCode}`, { output });
}
