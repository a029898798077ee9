import { chooseAccelerator } from '../guest/accelerator.ts';
import { findUefiFirmware } from '../guest/firmware.ts';
import type { Machine } from '../guest/qemu.ts';
import type { Host } from '../host/host.ts';
import { isInstalled, missingToolError } from '../host/tools.ts';
import { serveDirectory } from '../release/serve.ts';
import type { Ground } from './ground.ts';
import { Downloads } from './ground.ts';
import { prepareMachine } from './machine.ts';
import type { MachineOptions } from './options.ts';

export function checkMachines(): void {
  const missing = ['qemu-system-x86_64', 'debugfs'].filter((program) => !isInstalled(program));
  if (missing.length > 0) throw missingToolError(missing);
}

/** Virtual machines reach this machine's own loopback address, so the server listens on nothing else. */
export async function openMachineGround(
  host: Host,
  { memory, uefi, wayIn }: MachineOptions,
): Promise<Ground> {
  const { accelerator, reason } = await chooseAccelerator(host);
  const firmware = uefi ? await findUefiFirmware() : ({ kind: 'bios' } as const);
  const machine: Omit<Machine, 'disks'> = { accelerator, memory, firmware, sshPort: 0, console: 'pipe' };
  const downloads = new Downloads();
  const server = await serveDirectory({
    mounts: { '/': host.workspace.output },
    port: 0,
    onRequest: downloads.onRequest,
  });
  const words = accelerator === 'kvm' ? 'KVM' : `emulation, slow (${reason})`;
  host.emit({ type: 'note', text: `Virtual machines with ${memory} MiB by ${words}` });
  const updateUrl = server.guestUrl.replace(/\/$/, '');
  return {
    facts: { kind: 'machine', accelerator, memory, firmware: firmware.kind },
    takeDownloads: () => downloads.take(),
    prepare: (within, request) => prepareMachine(within, { ...request, machine, wayIn, updateUrl }),
    close: () => server.close(),
  };
}
