import { existsSync, rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path, { join } from 'node:path';
import { execa } from 'execa';
import { openImage } from '../../src/guest/disk.ts';
import { findUefiFirmware } from '../../src/guest/firmware.ts';
import type { Disk } from '../../src/guest/qemu.ts';
import { qemuArguments } from '../../src/guest/qemu.ts';
import { GuestConsole } from './console.ts';
import { openMonitor } from './monitor.ts';
import type { KeyPair, SshOutput } from './ssh.ts';
import { runOverSsh, testKeyPair } from './ssh.ts';

export interface VmOptions {
  /** A disk image; none where the arguments name a kernel. */
  image?: string;
  /** Writes reach the image itself. By default they last, over reboots, as long as this VM. */
  keep?: boolean;
  /** A QCOW2 file over the image that takes the writes, made where it does not exist: for a state that outlasts a VM. */
  overlay?: string;
  /** MiB; 256 by default. */
  memory?: number;
  uefi?: boolean;
  /** More disks, behind the image. */
  disks?: readonly Disk[];
  /** More of QEMU's arguments, before the others. */
  extraArgs?: readonly string[];
  key?: KeyPair;
}

export interface Vm {
  /** Of 127.0.0.1; leads to the guest's port 22. */
  readonly sshPort: number;
  /** Everything that came from the serial console so far. */
  readonly output: string;
  /** Waits for text on the serial console, behind what the last call found; rejects with the console's end. */
  waitFor(marker: string | RegExp, timeoutMs?: number): Promise<RegExpExecArray>;
  /** Types on the serial console. */
  send(text: string): void;
  /** Runs a command in the guest and gives its output whatever its exit code; waits for the guest's ssh as long as `timeoutMs`. */
  ssh(command: string, options?: { timeoutMs?: number; input?: string }): Promise<SshOutput>;
  /** Standard output, trimmed, of a command that must succeed. */
  sshText(command: string, options?: { timeoutMs?: number; input?: string }): Promise<string>;
  /** Waits until the guest has powered off (or QEMU ended otherwise): QEMU's exit code. */
  waitExit(timeoutMs?: number): Promise<number>;
  /** Ends QEMU at once. May be called after it ended. */
  kill(): Promise<void>;
}

/** Faster to emulate than `max`, which brings vector units; rdrand, so that no guest waits for entropy. */
const processor = 'qemu64,+rdrand';

/**
 * Starts a virtual machine with emulated processors. It ends when the guest restarts, and with this process at the latest.
 * Its port for ssh is chosen by the kernel when QEMU opens it, so that no two machines can want the same.
 */
export async function startVm(options: VmOptions): Promise<Vm> {
  const directory = await mkdtemp(join(tmpdir(), 'treeline-vm-'));
  const monitor = join(directory, 'monitor');
  const key = options.key ?? (await testKeyPair());
  const args = [
    // A device of theirs has the place on the bus that the image's would have.
    ...(options.extraArgs ?? []),
    ...qemuArguments({
      accelerator: 'tcg',
      processor,
      memory: options.memory ?? 256,
      disks: [...(await bootDisk(options)), ...(options.disks ?? [])],
      firmware: options.uefi === true ? await findUefiFirmware() : { kind: 'bios' },
      sshPort: 0,
      console: 'pipe',
    }),
    ...['-qmp', `unix:${monitor},server=on,wait=off`, '-no-reboot'],
  ];
  const child = execa('setpriv', ['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...args], {
    env: { TMPDIR: directory },
    stdin: 'pipe',
    buffer: { stdout: false, stderr: true },
    reject: false,
    encoding: 'utf8',
  });
  const guest = new GuestConsole();
  child.stdout.setEncoding('utf8').on('data', (text: string) => guest.add(text));
  const atExit = (): void => rmSync(directory, { recursive: true, force: true });
  process.on('exit', atExit);
  const ended = child.then((result) => {
    guest.end(`QEMU ended (${result.signal ?? `exit code ${result.exitCode}`}) ${result.stderr}`);
    process.off('exit', atExit);
    atExit();
    return result.exitCode ?? 1;
  });
  const sshPort = await Promise.race([readSshPort(monitor), ended.then(() => undefined)]);
  if (sshPort === undefined) throw new Error(`QEMU did not start: ${(await child).stderr}`);
  const ssh: Vm['ssh'] = async (command, how) => {
    try {
      return await runOverSsh({ port: sshPort, key }, command, how);
    } catch (error) {
      throw new Error(`${(error as Error).message}\nThe console's end:\n${guest.tail()}`, { cause: error });
    }
  };
  return {
    sshPort,
    get output() {
      return guest.output;
    },
    waitFor: (marker, timeoutMs = 240_000) => guest.waitFor(marker, timeoutMs),
    send: (text) => void child.stdin.write(text),
    ssh,
    async sshText(command, how) {
      const { stdout, stderr, exitCode } = await ssh(command, how);
      if (exitCode !== 0)
        throw new Error(`In the guest: ${command}: exit code ${exitCode}\n${stdout}${stderr}`);
      return stdout.trim();
    },
    async waitExit(timeoutMs = 300_000) {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(
          () =>
            reject(
              new Error(`The guest still runs after ${timeoutMs} ms. The console's end:\n${guest.tail()}`),
            ),
          timeoutMs,
        );
      });
      return Promise.race([ended, late]).finally(() => clearTimeout(timer));
    },
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

async function bootDisk({ image, keep = false, overlay }: VmOptions): Promise<Disk[]> {
  if (image === undefined) return [];
  const disk = await openImage(image, keep);
  if (overlay === undefined || 'bytes' in disk) return [disk];
  if (!existsSync(overlay)) {
    await execa('qemu-img', [
      'create',
      '-q',
      '-f',
      'qcow2',
      '-F',
      disk.format,
      '-b',
      path.resolve(disk.file),
      overlay,
    ]);
  }
  return [{ file: overlay, format: 'qcow2', keep: true }];
}

/** Asks QEMU's monitor which port it opened. */
async function readSshPort(socket: string): Promise<number> {
  const monitor = await openMonitor(socket);
  try {
    const usernet = await monitor.ask('human-monitor-command', { 'command-line': 'info usernet' });
    const match = /TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)/.exec(String(usernet));
    if (match === null) throw new Error('QEMU does not tell its port for ssh');
    return Number(match[1]);
  } finally {
    monitor.close();
  }
}
