import { anyExitCode } from '../host/command.ts';
import type { Command } from '../host/command.ts';
import { TreelineError } from '../host/errors.ts';
import type { Host } from '../host/host.ts';
import {
  makeDevices,
  sandboxCapabilities,
  sandboxDevices,
  sandboxNamespaces,
  sandboxProc,
} from '../host/sandbox.ts';
import type { Hook, HookPhase, Recipe } from '../model.ts';

const hostPhases: ReadonlySet<HookPhase> = new Set(['root', 'extra-data', 'cleanup']);

/** Runs one phase's hooks in order. Throws 'hook' with the output of the first that fails. */
export async function runHooks(host: Host, root: string, recipe: Recipe, phase: HookPhase): Promise<void> {
  for (const hook of recipe.hooks.filter((candidate) => candidate.phase === phase)) {
    const command = hostPhases.has(phase)
      ? hostCommand(root, hook, recipe)
      : {
          program: 'bwrap',
          args: sandboxArguments(root, hook, {
            recipe,
            devices: await makeDevices(host),
          }),
        };
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

function hookVariables(recipe: Recipe): Record<string, string> {
  const { distribution, request } = recipe;
  return {
    TREELINE_TARGET: request.target,
    TREELINE_BASE: distribution.id,
    TREELINE_RELEASE: distribution.release,
    TREELINE_ARCH: request.arch,
  };
}

/** In a process namespace of its own: what the hook starts ends with the build, however that ends. */
function hostCommand(root: string, hook: Hook, recipe: Recipe): Command {
  return {
    program: 'unshare',
    // The shell is there because the first process of a namespace does not get signals as others do.
    args: ['--pid', '--fork', '--kill-child', 'sh', '-c', '"$0"; exit $?', hook.path],
    cwd: root,
    env: { ...hookVariables(recipe), TREELINE_ROOT: root },
  };
}

/** The tree as `/`, no network, nothing of the host; the hook itself lies on a tmpfs, so that nothing of it stays. */
function sandboxArguments(root: string, hook: Hook, more: { recipe: Recipe; devices: string }): string[] {
  const variables = {
    ...hookVariables(more.recipe),
    PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: '/tmp',
    LC_ALL: 'C.UTF-8',
  };
  return [
    ...[...sandboxNamespaces, '--die-with-parent', '--clearenv', ...sandboxCapabilities],
    ...['--bind', root, '/', ...sandboxProc('/proc'), '--tmpfs', '/tmp', '--tmpfs', '/run'],
    ...sandboxDevices(more.devices, '/dev'),
    ...['--symlink', '/proc/self/fd', '/dev/fd', '--tmpfs', '/dev/shm'],
    ...['--ro-bind', hook.path, `/tmp/hook/${hook.name}`],
    ...Object.entries(variables).flatMap(([name, value]) => ['--setenv', name, value]),
    ...['--chdir', '/', `/tmp/hook/${hook.name}`],
  ];
}

function sandboxNote(phase: HookPhase): string {
  return hostPhases.has(phase)
    ? 'It runs on this machine, with the tree in $TREELINE_ROOT.'
    : 'It runs inside the tree, without network: only programs of the tree can be used.';
}
