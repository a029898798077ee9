import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

/** Guest scripts run under busybox; the host's stands in for the image's. */
export const busyboxInstalled = spawnSync('busybox', ['true']).status === 0;

/** The part of the layers that every image has, absolute. */
export const commonRootfs = join(import.meta.dirname, '../../overlays/common/rootfs');
export const debianRootfs = join(import.meta.dirname, '../../overlays/base/debian/rootfs');
export const targetRootfs = (target: string): string =>
  join(import.meta.dirname, '../../overlays/target', target, 'rootfs');
export const serviceRootfs = (service: string): string =>
  join(import.meta.dirname, '../../overlays/service', service, 'rootfs');
export const library = join(commonRootfs, 'usr/lib/treeline');

export interface Outcome {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** Runs `busybox APPLET ARGUMENT…` in a minimal environment. */
export function busybox(
  args: readonly string[],
  { input = '', env = {} }: { input?: string; env?: Record<string, string> } = {},
): Outcome {
  const { status, stdout, stderr } = spawnSync('busybox', args, {
    input,
    encoding: 'utf8',
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', ...env },
  });
  return { status, stdout, stderr };
}

/** Runs a few lines of shell after the library's files `names` were sourced, with `library` set as in the guest. */
export function withLibrary(
  names: readonly string[],
  lines: string,
  env: Record<string, string> = {},
): Outcome {
  const sources = names.map((name) => `. "$library/${name}.sh"\n`).join('');
  return busybox(['sh', '-c', `set -u\nlibrary=${library}\n${sources}${lines}`], { env });
}
