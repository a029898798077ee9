import { join } from 'node:path';
import { TreelineError } from '../host/errors.ts';
import { makeDirectory, writeFile } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import { anyExitCode } from '../host/command.ts';
import type { RunningProcess } from '../host/process.ts';
import { startProcess } from '../host/process.ts';
import type { Release } from '../model.ts';
import { unstoppable } from './cleanup.ts';
import type { GuestConsole } from './console.ts';
import type { FileFollower } from './follow-file.ts';
import { followFile } from './follow-file.ts';
import type { GuestRequest } from './ground.ts';
import type { Guest, GuestOutput } from './guest.ts';
import { orAborted } from './waiting.ts';

interface ContainerRequest extends GuestRequest {
  /** A network interface of this machine. */
  bridge: string;
  /** As the guest sees it. */
  updateUrl: string;
}

/** A release's template as an LXC container, which also stands in for OpenVZ. Needs root. */
export async function prepareContainer(host: Host, request: ContainerRequest): Promise<Guest> {
  const { release, scratch, bridge } = request;
  const rootfs = join(scratch, 'rootfs');
  await makeDirectory(rootfs);
  const template = findTemplate(release);
  await host.run({
    program: 'tar',
    args: ['--extract', '--numeric-owner', '--xattrs', `--directory=${rootfs}`, `--file=${template}`],
    doing: `unpack ${template}`,
  });
  const consoleFile = join(scratch, 'console');
  await makeDirectory(join(scratch, name));
  await writeFile(join(scratch, name, 'config'), containerConfig({ rootfs, consoleFile, bridge }));
  return new LxcGuest(host, request, consoleFile);
}

/** The tarball with the deployment; the flat one does not update itself. */
function findTemplate({ directory, manifest }: Release): string {
  const tarballs = manifest.artifacts.filter(
    ({ kind, file }) => kind === 'tarball' && !file.endsWith('-flat.tar.zst'),
  );
  // The faster one to unpack.
  const chosen = tarballs.find(({ file }) => file.endsWith('.tar.zst')) ?? tarballs[0]!;
  return join(directory, chosen.file);
}

const name = 'guest';

/** As the templates' own configuration has it; AppArmor is left out, because not every machine has it. */
function containerConfig(parts: { rootfs: string; consoleFile: string; bridge: string }): string {
  const lines = [
    'lxc.include = /usr/share/lxc/config/common.conf',
    `lxc.uts.name = ${name}`,
    `lxc.rootfs.path = dir:${parts.rootfs}`,
    `lxc.console.logfile = ${parts.consoleFile}`,
    'lxc.tty.max = 0',
    'lxc.apparmor.profile = unconfined',
    'lxc.signal.halt = SIGUSR2',
    'lxc.signal.reboot = SIGTERM',
    'lxc.net.0.type = veth',
    `lxc.net.0.link = ${parts.bridge}`,
    'lxc.net.0.flags = up',
  ];
  return `${lines.join('\n')}\n`;
}

class LxcGuest implements Guest {
  readonly console: GuestConsole;
  readonly updateUrl: string;
  readonly #host: Host;
  readonly #where: readonly string[];
  readonly #follower: FileFollower;
  #lxc: RunningProcess | undefined;

  constructor(host: Host, { console, updateUrl, scratch }: ContainerRequest, consoleFile: string) {
    this.#host = host;
    this.#where = ['--lxcpath', scratch, '--name', name];
    this.#follower = followFile(consoleFile, (text) => console.add(text));
    this.console = console;
    this.updateUrl = updateUrl;
  }

  async start(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.console.skip();
    const { log } = this.#host;
    // In the foreground, so that it ends with us; it starts the container again where that reboots.
    this.#lxc = startProcess(
      { program: 'lxc-start', args: [...this.#where, '--foreground'] },
      { log, signal: this.#host.signal },
    );
    const wait = { program: 'lxc-wait', args: [...this.#where, '--state', 'RUNNING'] };
    const ended = this.#lxc.ended.then(({ how, stderr }): never => {
      throw new TreelineError('command', `Cannot start a container: lxc-start failed (${how})`, {
        output: stderr,
      });
    });
    await orAborted(Promise.race([this.#host.run(wait), ended]), signal);
  }

  async run(command: string, signal: AbortSignal): Promise<GuestOutput> {
    const inside = ['--clear-env', '--set-var', 'PATH=/usr/sbin:/usr/bin', '--', '/bin/sh', '-c', command];
    const attached = this.#host.run({
      program: 'lxc-attach',
      args: [...this.#where, ...inside],
      accept: anyExitCode,
    });
    const { stdout, stderr, exitCode } = await orAborted(attached, signal);
    return { output: `${stdout}${stderr}`.trimEnd(), exitCode };
  }

  async restart(signal: AbortSignal): Promise<void> {
    try {
      await this.run('reboot', signal);
    } catch (error) {
      // The way in may be gone before it has told how the command ended.
      if (!(error instanceof TreelineError) || error.code !== 'command') throw error;
    }
  }

  async ended(): Promise<string> {
    const { how, stderr } = await this.#lxc!.ended;
    return `${how} ${stderr}`.trim();
  }

  async remove(): Promise<void> {
    if (this.#lxc !== undefined) {
      const stop = { program: 'lxc-stop', args: [...this.#where, '--kill'], accept: anyExitCode };
      await unstoppable(this.#host).run(stop);
      await this.#lxc.kill();
    }
    await this.#follower.stop();
  }
}
