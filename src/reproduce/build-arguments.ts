import type { BuildOptions } from '../options.ts';
import type { NamedKeys } from '../ostree/user-keys.ts';

/**
 * Pure: the options that make a build of what `readBuildOptions` read, in a workspace without treeline.yaml and by somebody
 * with another home directory. The target is not among them.
 */
export function buildArguments(options: BuildOptions, signKeys: NamedKeys | undefined): string[] {
  const { request, packages, layout, sshKeys, updateUrl, flat, qcow2, replay } = options;
  return [
    `--base=${request.base}`,
    `--arch=${request.arch}`,
    `--overlays=${request.overlays}`,
    ...serviceArguments(request.services),
    ...request.extraLayers.map((layer) => `--overlay=${layer}`),
    ...packages.mirrors.map((mirror) => `--mirror=${mirror}`),
    ...(replay === undefined ? [] : [`--replay=${replay.directory}`]),
    ...(packages.lock === undefined ? [] : [`--lock=${packages.lock}`]),
    ...(packages.offline ? ['--offline'] : []),
    ...(packages.refresh ? ['--refresh'] : []),
    `--layout=${layout}`,
    ...(sshKeys.length === 0 ? ['--no-ssh-key'] : sshKeys.map((key) => `--ssh-key=${key}`)),
    ...(updateUrl === '' ? [] : [`--update-url=${updateUrl}`]),
    ...(flat ? ['--flat'] : []),
    ...(qcow2 ? ['--qcow2'] : []),
    ...(signKeys?.names ?? []).map((name) => `--sign-key=${name}`),
  ];
}

/** A build adds sshd unless it is told otherwise. */
const serviceArguments = (services: readonly string[]): string[] => [
  ...(services.includes('sshd') ? [] : ['--service=sshd-']),
  ...services.filter((name) => name !== 'sshd').map((name) => `--service=${name}`),
];
