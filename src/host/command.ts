import { createWriteStream } from 'node:fs';
import { execa } from 'execa';
import { minimalEnvironment } from './environment.ts';
import { TreelineError } from './errors.ts';
import type { BuildLog } from './log.ts';
import { missingToolError } from './tools.ts';
import { underWay } from './under-way.ts';

/** A program and its arguments; never a shell string. */
export interface Command {
  program: string;
  args: readonly string[];
  cwd?: string;
  /** Added to the minimal environment (PATH, HOME, LC_ALL, TZ); nothing else is inherited. */
  env?: Record<string, string>;
  /** Bytes or text for standard input, which is closed otherwise. */
  input?: string | Uint8Array;
  /** A file that takes standard output instead of the result's `stdout`. */
  outputFile?: string;
  /** Commands whose output each feeds the next one's input, after this one. */
  pipeTo?: readonly Command[];
  /** Exit codes that are not failures; 0 alone by default. */
  accept?: readonly number[];
  /** Begins the error's message: "Cannot <doing>". */
  doing?: string;
  hint?: string;
}

/** For `accept`: the caller judges the exit code; a command then only fails where it was killed. */
export const anyExitCode: readonly number[] = Array.from({ length: 256 }, (_, code) => code);

export interface CommandOutput {
  stdout: string;
  stderr: string;
  exitCode: number;
}

/** The command as a line that can be pasted into a shell. */
export function commandLine(command: Command): string {
  const words = [command.program, ...command.args].map(quote);
  const variables = Object.entries(command.env ?? {}).map(([name, value]) => `${name}=${quote(value)}`);
  const line = [...variables, ...words].join(' ');
  const output = command.outputFile === undefined ? '' : ` > ${quote(command.outputFile)}`;
  return [line, ...(command.pipeTo ?? []).map(commandLine)].join(' | ') + output;
}

function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

/**
 * Runs a command to its end. Its output goes to the build's log line by line as well.
 * Throws TreelineError: 'command' on failure (with the pasteable line and what it printed), 'host' where the
 * program is not installed, 'cancelled' when the signal is aborted.
 *
 * Each child leads its own process group, which is ended on abort; `setpriv --pdeathsig` ends it when we are killed.
 */
export function runCommand(
  command: Command,
  { log, signal }: { log: BuildLog; signal: AbortSignal },
): Promise<CommandOutput> {
  return underWay(runChain(command, { log, signal }));
}

async function runChain(
  command: Command,
  { log, signal }: { log: BuildLog; signal: AbortSignal },
): Promise<CommandOutput> {
  signal.throwIfAborted();
  log.line(`+ ${commandLine(command)}`);
  const chain = [command, ...(command.pipeTo ?? [])];
  const children = chain.map((link, index) =>
    startChild(link, {
      input:
        index > 0
          ? { stdin: 'pipe' }
          : link.input === undefined
            ? { stdin: 'ignore' }
            : { input: link.input },
      keepOutput: index === chain.length - 1 && command.outputFile === undefined,
    }),
  );
  const endAll = (): void => {
    for (const child of children) killGroup(child.pid);
  };
  signal.addEventListener('abort', endAll, { once: true });
  try {
    for (const [index, child] of children.entries()) {
      const next = children[index + 1];
      if (next === undefined) continue;
      // A reader that has gone ends its writer, as in a shell's pipe.
      next.stdin!.on('error', () => {}).on('close', () => child.stdout!.destroy());
      child.stdout!.on('error', () => {}).pipe(next.stdin!);
    }
    const last = children.at(-1)!;
    if (command.outputFile !== undefined) {
      const file = createWriteStream(command.outputFile);
      last.stdout!.pipe(file);
      await new Promise<void>((resolve, reject) => file.on('close', resolve).on('error', reject));
    }
    const results = await Promise.all(children);
    for (const { stderr } of results) log.text(textOf(stderr));
    const failed = results.flatMap((result, index) => {
      const link = chain[index]!;
      return result.exitCode !== undefined && (link.accept ?? [0]).includes(result.exitCode)
        ? []
        : [{ link, result }];
    });
    if (signal.aborted) throw new TreelineError('cancelled', 'Cancelled');
    if (failed.length > 0) throw failure(command, failed);
    const final = results.at(-1)!;
    const stdout = textOf(final.stdout);
    if (stdout.length < 20_000) log.text(stdout);
    return {
      stdout,
      stderr: results.map((result) => textOf(result.stderr)).join(''),
      exitCode: final.exitCode ?? 0,
    };
  } catch (error) {
    endAll();
    // A child whose output nobody reads never counts as ended.
    for (const child of children) child.stdout?.resume();
    await Promise.allSettled(children);
    if ((error as NodeJS.ErrnoException).code === 'ENOSPC')
      throw noSpace(doing(command), `${command.outputFile}`);
    throw error;
  } finally {
    signal.removeEventListener('abort', endAll);
  }
}

type InputOption = { input: string | Uint8Array } | { stdin: 'pipe' | 'ignore' };

function startChild(command: Command, how: { input: InputOption; keepOutput: boolean }) {
  return execa('setpriv', ['--pdeathsig', 'KILL', command.program, ...command.args], {
    ...how.input,
    ...(command.cwd === undefined ? {} : { cwd: command.cwd }),
    env: { ...minimalEnvironment(), ...command.env },
    extendEnv: false,
    reject: false,
    stripFinalNewline: false,
    detached: true,
    buffer: { stdout: how.keepOutput, stderr: true },
    maxBuffer: 1 << 28,
  });
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended already.
  }
}

const textOf = (output: unknown): string => (typeof output === 'string' ? output : '');

interface Failed {
  link: Command;
  result: { exitCode?: number | undefined; signal?: string | undefined; stderr?: unknown; stdout?: unknown };
}

/** One error for a chain: when one program fails, its neighbours lose their pipe, so it is the first that ended by itself. */
function failure(whole: Command, failed: readonly Failed[]): TreelineError {
  const { link, result } = failed.find(({ result: { signal } }) => signal !== 'SIGPIPE') ?? failed[0]!;
  if (result.exitCode === 127 && textOf(result.stderr).startsWith('setpriv: failed to execute')) {
    return missingToolError([link.program]);
  }
  const stderr = failed
    .map((other) => textOf(other.result.stderr).trim())
    .join('\n')
    .trim();
  const output = (stderr === '' ? textOf(result.stdout).trim() : stderr).split('\n').slice(-40).join('\n');
  if (/no space left on device/i.test(output)) {
    return noSpace(doing(whole, link), output);
  }
  const reason = result.signal === undefined ? `exit code ${result.exitCode}` : `ended by ${result.signal}`;
  return new TreelineError('command', `Cannot ${doing(whole, link)}: ${link.program} failed (${reason})`, {
    hint: whole.hint ?? `The command was: ${commandLine(whole)}`,
    output,
  });
}

const doing = (whole: Command, link: Command = whole): string => whole.doing ?? `run ${link.program}`;

const noSpace = (what: string, output: string): TreelineError =>
  new TreelineError('host', `Cannot ${what}: no space left on the disk`, {
    hint: 'Free some space (df -h shows where), then run the same command again: what was finished is kept.',
    output,
  });
