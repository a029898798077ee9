import { join } from 'node:path';
import { execa } from 'execa';

const home = join(import.meta.dirname, '../..');

export interface ProgramOutput {
  stdout: string;
  stderr: string;
  exitCode: number;
}

/** Runs `npm run <script> -- <options>` as npm does, without npm: `build-vm`, `build-update`, `explain`, … */
export async function runScript(
  script: string,
  options: readonly string[],
  { signal }: { signal?: AbortSignal } = {},
): Promise<ProgramOutput> {
  const result = await execa('node', [join(home, 'scripts', `${script}.mjs`), ...options], {
    cwd: home,
    reject: false,
    stdin: 'ignore',
    maxBuffer: 1 << 26,
    ...(signal === undefined ? {} : { cancelSignal: signal }),
  });
  return { stdout: result.stdout, stderr: result.stderr, exitCode: result.exitCode ?? 255 };
}

/** The same for a script that must succeed; its standard output. */
export async function runScriptText(
  script: string,
  options: readonly string[],
  how: { signal?: AbortSignal } = {},
): Promise<string> {
  const { stdout, stderr, exitCode } = await runScript(script, options, how);
  if (exitCode !== 0)
    throw new Error(`${script} ${options.join(' ')}: exit code ${exitCode}\n${stdout}\n${stderr}`);
  return stdout;
}
