import { dirname } from 'node:path';
import type { Host } from '../host/host.ts';
import { openWorkspace } from '../host/workspace.ts';
import { buildArguments } from './build-arguments.ts';
import type { Elsewhere } from './elsewhere.ts';
import type { ReproduceOptions } from './options.ts';
import type { Surroundings } from './surroundings.ts';
import { runProgram, runScript } from './surroundings.ts';

/** Builds all that is asked for. */
export const build = (host: Host, surroundings: Surroundings, options: ReproduceOptions): Promise<void> =>
  runBuild(host, surroundings, { options, more: [] });

/** `more`: arguments besides those of the build. */
async function runBuild(
  host: Host,
  surroundings: Surroundings,
  { options, more }: { options: ReproduceOptions; more: readonly string[] },
): Promise<void> {
  const { requests, signKeys } = options;
  const [first, ...others] = requests.map(({ request }) => request.target);
  await runScript(host, surroundings, {
    script: `build-${first}`,
    args: [
      ...others.map((target) => `--target=${target}`),
      ...buildArguments(requests[0]!, signKeys),
      ...more,
    ],
    gnupgHome: signKeys?.home,
  });
}

/** Builds another tree before, so that the build finds packages, caches and images of its own that are not those that it wants. */
export async function rehearse(
  host: Host,
  surroundings: Surroundings,
  { options, changed }: { options: ReproduceOptions; changed: string },
): Promise<void> {
  const rehearsing = { ...host, emit: scoped(host) };
  await runBuild(rehearsing, surroundings, { options, more: [`--overlay=${changed}`] });
  // A commit names the one before it.
  const repository = openWorkspace(surroundings.workspace).repository;
  await runProgram(host, surroundings, ['ostree', `--repo=${repository}`, 'refs', '--delete', 'treeline']);
}

const scoped =
  (host: Host): Host['emit'] =>
  (event) =>
    host.emit('stage' in event ? { ...event, stage: event.stage.replace('elsewhere', 'rehearsal') } : event);

/** Makes the update to a tree with another layer. `changed`: that layer, as it is there. */
export async function update(
  host: Host,
  surroundings: Surroundings,
  { options, changed }: { options: ReproduceOptions; changed: string },
): Promise<void> {
  const { update: target, requests, signKeys } = options;
  if (target === undefined) return;
  const { overlays, extraLayers } = requests[0]!.request;
  await runScript(host, surroundings, {
    script: 'build-update',
    args: [
      `--target=${target}`,
      `--overlays=${overlays}`,
      ...[...extraLayers, changed].map((layer) => `--overlay=${layer}`),
      ...(signKeys?.names ?? []).map((name) => `--sign-key=${name}`),
      '--offline',
    ],
    gnupgHome: signKeys?.home,
  });
}

/** Brings what was published elsewhere to where it can be seen from here. */
export async function collect(host: Host, elsewhere: Elsewhere, output: string): Promise<void> {
  const { output: published } = openWorkspace(elsewhere.workspace);
  await runProgram(host, elsewhere, ['cp', '--archive', '--sparse=always', published, dirname(output)]);
}
