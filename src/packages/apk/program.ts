import { join } from 'node:path';
import { anyExitCode } from '../../host/command.ts';
import type { CommandOutput } from '../../host/command.ts';
import { makeDirectory, remove, writeFile } from '../../host/files.ts';
import type { Host } from '../../host/host.ts';
import {
  makeDevices,
  sandboxCapabilities,
  sandboxDevices,
  sandboxNamespaces,
  sandboxProc,
} from '../../host/sandbox.ts';
import { globalOptions } from './dialect.ts';
import type { PublicKey } from './formats/keys.ts';
import { programPlace } from './tools.ts';
import type { ApkProgram } from './tools.ts';

/** A repository as apk itself sees it. */
export interface VisibleRepository {
  name: string;
  tag: string | undefined;
  /** Absolute; holds ARCH/APKINDEX.tar.gz. */
  directory: string;
}

export interface ApkCall {
  program: ApkProgram;
  /** The root that apk works on, absolute. */
  root: string;
  repositories: readonly VisibleRepository[];
  keys: readonly PublicKey[];
  architecture: string;
  /** Command and arguments behind the global options: `add`, `--simulate`, … */
  args: readonly string[];
  /** A directory of the caller's for keys and device nodes, absolute. */
  scratch: string;
}

/**
 * Runs apk with a root of its own and nothing else of this machine: no network, no host files, its scripts chrooted into
 * the root. Resolves with any exit code: what it means depends on the command.
 */
export async function runApk(host: Host, call: ApkCall): Promise<CommandOutput> {
  const { program, root, repositories, keys, architecture, args, scratch } = call;
  const settings = join(scratch, 'apk');
  await remove(settings);
  await makeDirectory(join(settings, 'keys'));
  for (const { name, key } of keys) {
    await writeFile(join(settings, 'keys', name), key.export({ type: 'spki', format: 'pem' }).toString());
  }
  const lines = repositories.map(
    ({ name, tag }) => `${tag === undefined ? '' : `@${tag} `}/repositories/${name}\n`,
  );
  await writeFile(join(settings, 'repositories'), lines.join(''));
  const devices = await makeDevices(host);
  return host.run({
    program: 'bwrap',
    args: [
      ...[...sandboxNamespaces, '--die-with-parent', '--clearenv', ...sandboxCapabilities],
      ...['--setenv', 'PATH', '/usr/sbin:/usr/bin:/sbin:/bin', '--tmpfs', '/tmp', '--chdir', '/'],
      ...['--ro-bind', program.directory, programPlace, '--ro-bind', settings, '/settings'],
      ...repositories.flatMap(({ name, directory }) => ['--ro-bind', directory, `/repositories/${name}`]),
      ...['--bind', root, '/target', ...sandboxDevices(devices, '/target/dev')],
      ...sandboxProc('/target/proc'),
      ...program.command,
      ...globalOptions({
        root: '/target',
        keys: '/settings/keys',
        repositories: '/settings/repositories',
        architecture,
      }),
      ...args,
    ],
    accept: anyExitCode,
    doing: 'run apk',
  });
}
