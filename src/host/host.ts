import type { Command, CommandOutput } from './command.ts';
import { runCommand } from './command.ts';
import type { Event, Listener } from './events.ts';
import type { BuildLog } from './log.ts';
import type { Workspace } from './workspace.ts';

export interface StageOutcome {
  /** True where the stage found its result already made. */
  reused?: boolean;
  /** A few words for the stage's line: a count, a size, an id. */
  detail?: string;
}

/** How long a finished stage took, in seconds. */
export interface StageTime {
  stage: string;
  seconds: number;
  reused: boolean;
}

/**
 * The machine, as the other rooms see it: run a program, tell of progress, find the workspace.
 * One Host lives for one command of the user's; it holds no state that a stage reads back.
 */
export interface Host {
  readonly workspace: Workspace;
  readonly log: BuildLog;
  /** Aborted when the user stops the command; every program that runs then is ended. */
  readonly signal: AbortSignal;
  /** Stages that ended, in order. */
  readonly times: readonly StageTime[];
  /** Runs a program to its end; throws TreelineError 'command' where it exits non-zero. */
  run(command: Command): Promise<CommandOutput>;
  emit(event: Event): void;
  /** Runs `work` as a named stage with its time; `outcome` turns the result into the stage's closing words. */
  stage<T>(name: string, work: () => Promise<T>, outcome?: (result: T) => StageOutcome): Promise<T>;
}

export function createHost(options: {
  workspace: Workspace;
  log: BuildLog;
  signal: AbortSignal;
  listeners: readonly Listener[];
}): Host {
  const { workspace, log, signal, listeners } = options;
  const times: StageTime[] = [];
  const emit = (event: Event): void => {
    for (const listener of listeners) listener(event);
  };
  return {
    workspace,
    log,
    signal,
    times,
    emit,
    run: (command) => runCommand(command, { log, signal }),
    async stage(name, work, outcome) {
      signal.throwIfAborted();
      const started = performance.now();
      const seconds = (): number => (performance.now() - started) / 1000;
      emit({ type: 'stage-start', stage: name });
      try {
        const result = await work();
        const { reused = false, detail = '' } = outcome?.(result) ?? {};
        times.push({ stage: name, seconds: seconds(), reused });
        emit({ type: 'stage-end', stage: name, seconds: seconds(), reused, detail });
        return result;
      } catch (error) {
        emit({ type: 'stage-failed', stage: name, seconds: seconds() });
        throw error;
      }
    },
  };
}

/** The same machine for one part of a larger job: its stages are shown as "<scope> <stage>", and timed apart. */
export function withinScope(host: Host, scope: string): Host {
  const rename = (event: Event): Event =>
    'stage' in event ? { ...event, stage: `${scope} ${event.stage}` } : event;
  const { workspace, log, signal } = host;
  return createHost({ workspace, log, signal, listeners: [(event) => host.emit(rename(event))] });
}
