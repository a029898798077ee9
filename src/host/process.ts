import { execa } from 'execa';
import type { Command } from './command.ts';
import { commandLine } from './command.ts';
import { minimalEnvironment } from './environment.ts';
import type { BuildLog } from './log.ts';
import { isInstalled, missingToolError } from './tools.ts';

/** A program that goes on while we do something else. */
export interface RunningProcess {
  /** When it ended, however that was; never rejects. */
  readonly ended: Promise<EndedProcess>;
  /** Ends it at once, and waits for that. May be called after it ended. */
  kill(): Promise<void>;
}

export interface EndedProcess {
  /** `exit code 0`, `ended by SIGKILL`. */
  how: string;
  stderr: string;
}

/**
 * Starts a program; `onOutput` gets what it writes to standard output, as text. It is ended when the signal is aborted,
 * and with us when we are killed. Throws TreelineError 'host' where it is not installed.
 */
export function startProcess(
  command: Pick<Command, 'program' | 'args' | 'cwd' | 'env'>,
  { log, signal, onOutput }: { log: BuildLog; signal: AbortSignal; onOutput?: (text: string) => void },
): RunningProcess {
  if (!isInstalled(command.program)) throw missingToolError([command.program]);
  signal.throwIfAborted();
  log.line(`+ ${commandLine(command)} &`);
  const child = execa('setpriv', ['--pdeathsig', 'KILL', command.program, ...command.args], {
    ...(command.cwd === undefined ? {} : { cwd: command.cwd }),
    env: { ...minimalEnvironment(), ...command.env },
    extendEnv: false,
    reject: false,
    stdin: 'ignore',
    // Its own process group: the keys of the terminal that end us are not for it, and it ends with all that it started.
    detached: true,
    buffer: { stdout: false, stderr: true },
  });
  child.stdout.setEncoding('utf8').on('data', (text: string) => onOutput?.(text));
  const end = (): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch {
      // It has ended already.
    }
  };
  signal.addEventListener('abort', end, { once: true });
  const ended = child.then((result) => {
    signal.removeEventListener('abort', end);
    const how = result.signal === undefined ? `exit code ${result.exitCode}` : `ended by ${result.signal}`;
    log.line(`${command.program}: ${how}`);
    log.text(result.stderr);
    return { how, stderr: result.stderr };
  });
  return {
    ended,
    async kill() {
      end();
      await ended;
    },
  };
}
