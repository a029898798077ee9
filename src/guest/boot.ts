import type { Command } from '../host/command.ts';
import { commandLine } from '../host/command.ts';
import { TreelineError } from '../host/errors.ts';
import { makeDirectory } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import { runInTerminal } from '../host/terminal.ts';
import { isInstalled, missingToolError } from '../host/tools.ts';
import type { AcceleratorChoice } from './accelerator.ts';
import { chooseAccelerator } from './accelerator.ts';
import { openImage, openSecondDisk } from './disk.ts';
import { findUefiFirmware } from './firmware.ts';
import { chooseSshPort } from './port.ts';
import type { Machine } from './qemu.ts';
import { qemuArguments } from './qemu.ts';

export interface BootOptions {
  /** Path of a disk image, raw or QCOW2. */
  image: string;
  /** MiB; 256 by default. */
  memory?: number | undefined;
  /** A second disk: an existing file, or a size (`1G`) for an empty one that is gone afterwards. */
  disk?: string | undefined;
  /** By UEFI instead of BIOS. */
  uefi?: boolean | undefined;
  /** Port of 127.0.0.1 that leads to the guest's ssh; the first free one from 2222 by default. */
  port?: number | undefined;
  /** Whether what the guest writes stays in the image and the second disk. */
  persist?: boolean | undefined;
  /** Only tell the command line, as the result's title. */
  print?: boolean | undefined;
}

const program = 'qemu-system-x86_64';
const defaultMemory = 256;
const leastMemory = 64;

/**
 * Runs an image in QEMU with its serial console in this terminal, until the guest powers off or the user quits.
 * Resolves to QEMU's exit code. Throws TreelineError: 'host' where QEMU or OVMF is not installed, 'usage' for options
 * that do not fit.
 */
export async function bootImage(host: Host, options: BootOptions): Promise<number> {
  if (!isInstalled(program)) throw missingToolError([program]);
  const { machine, reason } = await planMachine(host, options);
  const command: Command = {
    program,
    args: qemuArguments(machine),
    env: { TMPDIR: host.workspace.temporary },
    doing: `boot ${options.image}`,
  };
  await makeDirectory(host.workspace.temporary);
  if (options.print === true) {
    host.emit({ type: 'result', title: commandLine(command), rows: [], next: [] });
    return 0;
  }
  for (const text of introduction(options, machine, reason)) host.emit({ type: 'note', text });
  return runInTerminal(command, host);
}

async function planMachine(
  host: Host,
  options: BootOptions,
): Promise<{ machine: Machine; reason: AcceleratorChoice['reason'] }> {
  const keep = options.persist === true;
  const image = await openImage(options.image, keep);
  const disk = options.disk === undefined ? [] : [await openSecondDisk(options.disk, keep)];
  const memory = checkMemory(options.memory ?? defaultMemory);
  const firmware = options.uefi === true ? await findUefiFirmware() : ({ kind: 'bios' } as const);
  const sshPort = await chooseSshPort(options.port);
  const { accelerator, reason } = await chooseAccelerator(host);
  return {
    machine: { accelerator, memory, disks: [image, ...disk], firmware, sshPort, console: 'terminal' },
    reason,
  };
}

/** Throws TreelineError 'usage' where a guest cannot start with `memory` MiB. */
export function checkMemory(memory: number): number {
  if (Number.isInteger(memory) && memory >= leastMemory) return memory;
  throw new TreelineError(
    'usage',
    `Cannot boot with ${memory} MiB of memory: at least ${leastMemory} are needed`,
    {
      hint: `--memory takes whole MiB; ${defaultMemory} is the default.`,
    },
  );
}

function introduction(options: BootOptions, machine: Machine, reason: string): string[] {
  const firmware = machine.firmware.kind === 'uefi' ? 'UEFI' : 'BIOS';
  const accelerator = machine.accelerator === 'kvm' ? 'KVM' : `emulation, slow (${reason})`;
  return [
    `${options.image}: ${firmware}, ${machine.memory} MiB, ${accelerator}`,
    options.persist === true
      ? 'What the guest writes stays in the image.'
      : 'The image is not changed (--persist to change it).',
    `Log in from another terminal: ${sshCommand(machine.sshPort)}`,
    'The host is 10.0.2.2 in the guest. ctrl-a x quits, ctrl-a h shows the other keys.',
  ];
}

/** A guest makes its host key at first boot, so that there is none to remember for an image that is not changed. */
const sshCommand = (port: number): string =>
  `ssh -p ${port} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null root@127.0.0.1`;
