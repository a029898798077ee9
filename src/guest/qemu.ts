/** A virtual machine as QEMU shall emulate it. */
export interface Machine {
  accelerator: Accelerator;
  /** QEMU's processor model; by default the fullest one that the accelerator has. */
  processor?: string;
  /** MiB. */
  memory: number;
  /** The first one is booted from. */
  disks: readonly Disk[];
  firmware: Firmware;
  /** Port of 127.0.0.1 that leads to the guest's port 22; 0: the kernel chooses one. */
  sshPort: number;
  /** `terminal`: standard input and output, with QEMU's own keys behind ctrl-a. `pipe`: the bytes alone. */
  console: 'terminal' | 'pipe';
}

export type Accelerator = 'kvm' | 'tcg';

/**
 * `keep`: whether writes reach the file. Where not, they last until QEMU ends, in a file that has no name, in the
 * directory of the environment's TMPDIR.
 */
export type Disk = { file: string; format: 'raw' | 'qcow2'; keep: boolean } | EmptyDisk;

/** A disk of `bytes` zero bytes that is gone when QEMU ends. */
export interface EmptyDisk {
  bytes: number;
}

/** `uefi`: paths of OVMF's code and of the variables it starts with, which are not written to. */
export type Firmware = { kind: 'bios' } | { kind: 'uefi'; code: string; variables: string };

/** The arguments of `qemu-system-x86_64` for a machine; the same machine gives the same arguments. */
export function qemuArguments(machine: Machine): string[] {
  return [
    ...['-name', 'treeline', '-no-user-config', '-nodefaults', '-display', 'none'],
    ...[
      '-machine',
      'q35',
      '-accel',
      acceleratorArguments[machine.accelerator],
      '-cpu',
      machine.processor ?? fullProcessor(machine.accelerator),
    ],
    ...['-m', String(machine.memory)],
    ...firmwareArguments(machine.firmware),
    ...machine.disks.flatMap(diskArguments),
    ...['-netdev', `user,id=net0,hostfwd=tcp:127.0.0.1:${machine.sshPort}-:22`],
    // Without a ROM: nothing boots from the network, and the firmware need not read it.
    ...['-device', 'virtio-net-pci,netdev=net0,romfile='],
    ...['-device', 'virtio-rng-pci'],
    ...consoleArguments(machine.console),
  ];
}

/**
 * tb-size (MiB of translated code): with the default of about 1 GiB, a reboot in a guest of 128 MiB stands nearly still
 * in QEMU 7.2 where the new kernel copies itself over memory that held the old one's code. Up to 256 it does not.
 */
const acceleratorArguments: Readonly<Record<Accelerator, string>> = { kvm: 'kvm', tcg: 'tcg,tb-size=128' };

const fullProcessor = (accelerator: Accelerator): string => (accelerator === 'kvm' ? 'host' : 'max');

function firmwareArguments(firmware: Firmware): string[] {
  if (firmware.kind === 'bios') return [];
  return [
    ...['-drive', `if=pflash,unit=0,format=raw,readonly=on,file=${escapeCommas(firmware.code)}`],
    ...['-drive', `if=pflash,unit=1,format=raw,snapshot=on,file=${escapeCommas(firmware.variables)}`],
  ];
}

function diskArguments(disk: Disk, index: number): string[] {
  const id = `disk${index}`;
  return [
    ...['-drive', `if=none,id=${id},${diskSource(disk)}`],
    ...['-device', `virtio-blk-pci,drive=${id},bootindex=${index}`],
  ];
}

function diskSource(disk: Disk): string {
  if ('bytes' in disk) return `driver=null-co,size=${disk.bytes},read-zeroes=on,snapshot=on`;
  const writes = disk.keep ? 'discard=unmap' : 'snapshot=on';
  return `format=${disk.format},${writes},file=${escapeCommas(disk.file)}`;
}

function consoleArguments(console: Machine['console']): string[] {
  if (console === 'terminal') return ['-serial', 'mon:stdio'];
  return ['-chardev', 'stdio,id=console,signal=off', '-serial', 'chardev:console'];
}

/** QEMU ends a value at a comma unless it is doubled. */
const escapeCommas = (value: string): string => value.replaceAll(',', ',,');
