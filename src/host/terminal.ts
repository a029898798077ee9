import { constants } from 'node:os';
import { execa } from 'execa';
import type { Command } from './command.ts';
import { commandLine } from './command.ts';
import { minimalEnvironment } from './environment.ts';
import { TreelineError } from './errors.ts';
import type { BuildLog } from './log.ts';
import { isInstalled, missingToolError } from './tools.ts';

/**
 * Runs a program that a person talks to: it has this process's standard input, output and error, and the terminal's
 * keys. Resolves to its exit code (128 + number where a signal ended it); a failure is not thrown, since the program
 * has told the person. Throws TreelineError: 'host' where it is not installed, 'cancelled' when the signal is aborted.
 */
export async function runInTerminal(
  command: Command,
  { log, signal }: { log: BuildLog; signal: AbortSignal },
): Promise<number> {
  if (!isInstalled(command.program)) throw missingToolError([command.program]);
  signal.throwIfAborted();
  log.line(`+ ${commandLine(command)}`);
  const restore = await saveTerminal();
  // SIGTERM, not SIGKILL: the program gets to put the terminal back as it was.
  const child = execa('setpriv', ['--pdeathsig', 'TERM', command.program, ...command.args], {
    stdio: 'inherit',
    ...(command.cwd === undefined ? {} : { cwd: command.cwd }),
    env: { ...minimalEnvironment(), TERM: process.env['TERM'] ?? 'dumb', ...command.env },
    extendEnv: false,
    reject: false,
  });
  const end = (): void => void child.kill('SIGTERM');
  signal.addEventListener('abort', end, { once: true });
  try {
    const result = await child;
    if (signal.aborted) throw new TreelineError('cancelled', 'Cancelled');
    const exitCode = result.exitCode ?? 128 + signalNumber(result.signal);
    log.line(`exit code ${exitCode}`);
    return exitCode;
  } finally {
    signal.removeEventListener('abort', end);
    await restore();
  }
}

/** Programs that take single keys change the terminal's settings, and one that was killed leaves them so. */
async function saveTerminal(): Promise<() => Promise<void>> {
  if (!process.stdin.isTTY) return async () => {};
  const saved = (await stty(['-g'])).stdout;
  return async () => {
    if (saved !== '') await stty([saved]);
  };
}

const stty = (args: string[]) => execa('stty', args, { stdin: 'inherit', reject: false });

const signalNumber = (name: string | undefined): number =>
  name === undefined ? 0 : (constants.signals[name as NodeJS.Signals] ?? 0);
