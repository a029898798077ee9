import { TreelineError } from '../host/errors.ts';
import type { Host } from '../host/host.ts';
import type { Hook, HookPhase, Recipe } from '../model.ts';

const hostPhases: ReadonlySet<HookPhase> = new Set(['root', 'extra-data', 'cleanup']);

/** Runs one phase's hooks in order. Throws 'hook' with the output of the first that fails. */
export async function runHooks(host: Host, root: string, recipe: Recipe, phase: HookPhase): Promise<void> {
  for (const hook of recipe.hooks.filter((candidate) => candidate.phase === phase)) {
    const variables = hookVariables(recipe);
    const command = hostPhases.has(phase)
      ? { program: hook.path, args: [], cwd: root, env: { ...variables, TREELINE_ROOT: root } }
      : { program: 'bwrap', args: sandboxArguments(root, hook, variables) };
    const { exitCode, stdout, stderr } = await host
      .run({ ...command, accept: anyExitCode })
      .catch((error: unknown) => endedBySignal(error));
    if (exitCode !== 0) {
      const reason = exitCode === undefined ? 'was killed' : `failed (exit code ${exitCode})`;
      throw new TreelineError('hook', `Cannot build ${recipe.ref}: the hook ${hook.path} ${reason}`, {
        hint: `It belongs to the layer ${hook.origin.layer}. ${sandboxNote(phase)}`,
        output: `${stdout}${stderr}`.trim(),
      });
    }
  }
}

/** With every exit code accepted, a command fails only without one. */
function endedBySignal(error: unknown): { exitCode: undefined; stdout: string; stderr: string } {
  if (!(error instanceof TreelineError) || error.code !== 'command') throw error;
  return { exitCode: undefined, stdout: error.output ?? '', stderr: '' };
}

const anyExitCode = Array.from({ length: 256 }, (_, code) => code);

function hookVariables(recipe: Recipe): Record<string, string> {
  const { distribution, request } = recipe;
  return {
    TREELINE_TARGET: request.target,
    TREELINE_BASE: distribution.id,
    TREELINE_RELEASE: distribution.release,
    TREELINE_ARCH: request.arch,
  };
}

/** See capabilities(7): what chown, chmod, su and the like need. */
const keptCapabilities = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETFCAP',
  'CAP_SYS_CHROOT',
];

/** The tree as `/`, no network, nothing of the host; the hook itself lies on a tmpfs, so that nothing of it stays. */
function sandboxArguments(root: string, hook: Hook, variables: Record<string, string>): string[] {
  const set = Object.entries(variables).flatMap(([name, value]) => ['--setenv', name, value]);
  return [
    ...[
      '--unshare-pid',
      '--unshare-net',
      '--unshare-ipc',
      '--unshare-uts',
      '--die-with-parent',
      '--clearenv',
    ],
    // Root in the tree, but not on this machine: no device nodes, no mounts, no modules.
    ...['--cap-drop', 'ALL', ...keptCapabilities.flatMap((name) => ['--cap-add', name])],
    ...['--bind', root, '/', '--dev', '/dev', '--proc', '/proc', '--tmpfs', '/tmp', '--tmpfs', '/run'],
    ...['--ro-bind', hook.path, `/tmp/hook/${hook.name}`],
    ...[
      '--setenv',
      'PATH',
      '/usr/sbin:/usr/bin:/sbin:/bin',
      '--setenv',
      'HOME',
      '/tmp',
      '--setenv',
      'LC_ALL',
      'C.UTF-8',
    ],
    ...set,
    ...['--chdir', '/', `/tmp/hook/${hook.name}`],
  ];
}

function sandboxNote(phase: HookPhase): string {
  return hostPhases.has(phase)
    ? 'It runs on this machine, with the tree in $TREELINE_ROOT.'
    : 'It runs inside the tree, without network: only programs of the tree can be used.';
}
