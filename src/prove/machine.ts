import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Disk, Machine } from '../guest/qemu.ts';
import { qemuArguments } from '../guest/qemu.ts';
import { TreelineError } from '../host/errors.ts';
import { remove, temporaryDirectory } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import type { RunningProcess } from '../host/process.ts';
import { startProcess } from '../host/process.ts';
import type { Release } from '../model.ts';
import type { GuestConsole } from './console.ts';
import type { GuestRequest } from './ground.ts';
import type { Guest, GuestOutput } from './guest.ts';
import { SerialShell } from './serial-shell.ts';
import { letIn } from './way-in.ts';
import { orAborted } from './waiting.ts';

interface MachineRequest extends GuestRequest {
  machine: Omit<Machine, 'disks'>;
  /** Absolute: overlays/prove/rootfs. */
  wayIn: string;
  /** As the guest sees it. */
  updateUrl: string;
}

/**
 * A copy of a release's disk image in QEMU. Each start is a new QEMU: with emulated processors a kernel that starts where
 * another one has run takes minutes.
 */
export async function prepareMachine(host: Host, request: MachineRequest): Promise<Guest> {
  const { release, scratch, wayIn } = request;
  const disk = await copyImage(host, release, scratch);
  await letIn(host, { disk, release, rootfs: wayIn });
  return new QemuGuest(host, request, { file: disk, format: 'raw', keep: true });
}

/** Holes stay holes, and the published file is only read. */
async function copyImage(host: Host, { directory, manifest }: Release, scratch: string): Promise<string> {
  const image = manifest.artifacts.find(({ kind }) => kind === 'disk-image')!;
  const disk = join(scratch, 'disk.img');
  await host.run({
    program: 'cp',
    args: ['--sparse=always', '--reflink=auto', join(directory, image.file), disk],
    doing: `copy ${image.file}`,
  });
  return disk;
}

/** One power-on: from QEMU's start to its end. */
interface PowerOn {
  qemu: RunningProcess;
  line: SerialLine;
  shell: Promise<SerialShell>;
}

class QemuGuest implements Guest {
  readonly console: GuestConsole;
  readonly updateUrl: string;
  readonly #host: Host;
  readonly #machine: Machine;
  readonly #scratch: string;
  #power: PowerOn | undefined;

  constructor(host: Host, request: MachineRequest, disk: Disk) {
    this.#host = host;
    this.#machine = { ...request.machine, disks: [disk] };
    this.#scratch = request.scratch;
    this.console = request.console;
    this.updateUrl = request.updateUrl;
  }

  async start(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.console.skip();
    const line = await openSerialLine();
    const { log } = this.#host;
    const qemu = startProcess(
      {
        program: 'qemu-system-x86_64',
        args: [
          ...qemuArguments(this.#machine),
          ...['-chardev', `socket,id=shell,path=${line.path}`, '-serial', 'chardev:shell', '-no-reboot'],
        ],
        env: { TMPDIR: this.#scratch },
      },
      { log, signal: this.#host.signal, onOutput: (text) => this.console.add(text) },
    );
    const shell = line.connected.then((socket) => new SerialShell(socket));
    this.#power = { qemu, line, shell };
  }

  async run(command: string, signal: AbortSignal): Promise<GuestOutput> {
    const shell = await orAborted(this.#power!.shell, signal);
    await orAborted(shell.ready, signal);
    return orAborted(shell.run(command), signal);
  }

  async restart(signal: AbortSignal): Promise<void> {
    const { qemu, line, shell } = this.#power!;
    (await orAborted(shell, signal)).tell('reboot');
    const { how, stderr } = await orAborted(qemu.ended, signal);
    if (how !== 'exit code 0') throw new TreelineError('command', `QEMU: ${how}`, { output: stderr });
    await line.close();
    await this.start(signal);
  }

  async ended(): Promise<string> {
    const { how, stderr } = await this.#power!.qemu.ended;
    return how === 'exit code 0' ? 'it restarted or switched itself off' : `QEMU: ${how} ${stderr}`.trim();
  }

  async remove(): Promise<void> {
    await this.#power?.qemu.kill();
    await this.#power?.line.close();
  }
}

/** A UNIX socket that QEMU connects to. */
interface SerialLine {
  path: string;
  connected: Promise<Socket>;
  close(): Promise<void>;
}

/** In the system's own temporary directory, because the path of a socket may have no more than 107 bytes. */
async function openSerialLine(): Promise<SerialLine> {
  const directory = await temporaryDirectory(tmpdir(), 'treeline-prove');
  const path = join(directory, 'line');
  const server = createServer();
  const sockets: Socket[] = [];
  const connected = new Promise<Socket>((resolve) => {
    server.on('connection', (socket) => {
      sockets.push(socket);
      resolve(socket);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(path, resolve);
  });
  return {
    path,
    connected,
    async close() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await remove(directory);
    },
  };
}
