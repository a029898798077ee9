import { agentVariables, proxyVariables } from '../host/environment.ts';
import type { ErrorRecord } from '../host/reporter/errors.ts';
import { TreelineError } from '../host/errors.ts';
import type { Event } from '../host/events.ts';
import type { Host } from '../host/host.ts';
import { startProcess } from '../host/process.ts';

/** A place to build in: where its things are, and how a program is run there. All paths are absolute, as they are there. */
export interface Surroundings {
  /** For people. */
  name: 'here' | 'elsewhere';
  checkout: string;
  workspace: string;
  /** The program and arguments that run `argv` there, and what they need of an environment. */
  enter(argv: readonly string[]): { argv: readonly string[]; env: Record<string, string> };
}

/** Runs a script of the checkout there; its stages are shown as `<name> <stage>`. Throws what it ended with. */
export async function runScript(
  host: Host,
  surroundings: Surroundings,
  { script, args, gnupgHome }: { script: string; args: readonly string[]; gnupgHome?: string | undefined },
): Promise<void> {
  const { name, checkout, workspace } = surroundings;
  const path = `${checkout}/scripts/${script}.mjs`;
  const { argv, env } = surroundings.enter([
    process.execPath,
    path,
    '--json',
    `--workspace=${workspace}`,
    ...args,
  ]);
  const lines = new Lines();
  let error: ErrorRecord | undefined;
  const running = startProcess(
    {
      program: argv[0]!,
      args: argv.slice(1),
      // Elsewhere is a directory that this process may not see.
      cwd: name === 'here' ? checkout : '/',
      env: {
        ...proxyVariables(),
        ...(gnupgHome === undefined ? {} : { GNUPGHOME: gnupgHome, ...agentVariables() }),
        ...env,
      },
    },
    {
      log: host.log,
      signal: host.signal,
      onOutput: (text) => {
        for (const line of lines.add(text)) {
          const record = JSON.parse(line) as Event | ErrorRecord;
          if (record.type === 'error') error = record;
          else forward(host, name, record);
        }
      },
    },
  );
  const { how, stderr } = await running.ended;
  host.signal.throwIfAborted();
  if (how === 'exit code 0') return;
  throw new TreelineError(
    error?.code === undefined || error.code === 'bug' ? 'command' : error.code,
    `Cannot build ${name === 'here' ? 'in a fresh workspace' : 'in other surroundings'}: ${error?.message ?? how}`,
    {
      hint: error?.hint,
      output: [error?.output ?? error?.stack ?? '', stderr.trim()].filter((text) => text !== '').join('\n'),
    },
  );
}

/** Runs a program there and returns what it prints. */
export async function runProgram(
  host: Host,
  surroundings: Surroundings,
  argv: readonly string[],
): Promise<string> {
  const { argv: words, env } = surroundings.enter(argv);
  const { stdout } = await host.run({ program: words[0]!, args: words.slice(1), env });
  return stdout;
}

function forward(host: Host, name: string, event: Event): void {
  if ('stage' in event) host.emit({ ...event, stage: `${name} ${event.stage}` });
  else if (event.type === 'warning') host.emit({ type: 'warning', text: `${name}: ${event.text}` });
}

/** Cuts a stream of text into its lines. */
class Lines {
  #rest = '';

  add(text: string): string[] {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop()!;
    return lines.filter((line) => line !== '');
  }
}
