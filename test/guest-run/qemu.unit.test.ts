import { describe, expect, it } from 'vitest';
import type { Machine } from '../../src/guest/qemu.ts';
import { qemuArguments } from '../../src/guest/qemu.ts';

const machine: Machine = {
  accelerator: 'tcg',
  memory: 256,
  disks: [{ file: '/w/out/vm.img', format: 'raw', keep: false }],
  firmware: { kind: 'bios' },
  sshPort: 2222,
  console: 'terminal',
};

/** The value behind each occurrence of an option. */
const values = (args: readonly string[], option: string): string[] =>
  args.filter((_, index) => args[index - 1] === option);

describe('qemuArguments', () => {
  it('boots the first disk, without writing to it, with the console in the terminal', () => {
    const args = qemuArguments(machine);
    expect(values(args, '-drive')).toEqual(['if=none,id=disk0,format=raw,snapshot=on,file=/w/out/vm.img']);
    expect(values(args, '-device')).toContain('virtio-blk-pci,drive=disk0,bootindex=0');
    expect(values(args, '-serial')).toEqual(['mon:stdio']);
    expect(values(args, '-m')).toEqual(['256']);
    expect(values(args, '-netdev')).toEqual(['user,id=net0,hostfwd=tcp:127.0.0.1:2222-:22']);
  });

  it('lets writes reach a disk that is to be kept', () => {
    const [drive] = values(
      qemuArguments({ ...machine, disks: [{ file: '/d.qcow2', format: 'qcow2', keep: true }] }),
      '-drive',
    );
    expect(drive).toBe('if=none,id=disk0,format=qcow2,discard=unmap,file=/d.qcow2');
  });

  it('adds more disks behind it, empty ones without a file', () => {
    const args = qemuArguments({ ...machine, disks: [...machine.disks, { bytes: 1 << 30 }] });
    expect(values(args, '-drive')[1]).toBe(
      'if=none,id=disk1,driver=null-co,size=1073741824,read-zeroes=on,snapshot=on',
    );
    expect(values(args, '-device')).toContain('virtio-blk-pci,drive=disk1,bootindex=1');
  });

  it('gives UEFI its code read-only and its variables for this run', () => {
    const args = qemuArguments({
      ...machine,
      firmware: { kind: 'uefi', code: '/f/C.fd', variables: '/f/V.fd' },
    });
    expect(values(args, '-drive').slice(0, 2)).toEqual([
      'if=pflash,unit=0,format=raw,readonly=on,file=/f/C.fd',
      'if=pflash,unit=1,format=raw,snapshot=on,file=/f/V.fd',
    ]);
  });

  it('uses all that the processor has: the machine’s with KVM, the emulated one otherwise', () => {
    expect(values(qemuArguments(machine), '-cpu')).toEqual(['max']);
    expect(values(qemuArguments({ ...machine, accelerator: 'kvm' }), '-cpu')).toEqual(['host']);
    expect(values(qemuArguments({ ...machine, processor: 'qemu64' }), '-cpu')).toEqual(['qemu64']);
  });

  it('keeps little translated code, so that a guest can reboot', () => {
    expect(values(qemuArguments(machine), '-accel')).toEqual(['tcg,tb-size=128']);
    expect(values(qemuArguments({ ...machine, accelerator: 'kvm' }), '-accel')).toEqual(['kvm']);
  });

  it('doubles the commas of paths, which QEMU would take for the end', () => {
    const args = qemuArguments({ ...machine, disks: [{ file: '/a,b.img', format: 'raw', keep: false }] });
    expect(values(args, '-drive')[0]).toContain('file=/a,,b.img');
  });

  it('leaves the console’s bytes alone where a program reads them', () => {
    const args = qemuArguments({ ...machine, console: 'pipe' });
    expect(values(args, '-chardev')).toEqual(['stdio,id=console,signal=off']);
    expect(args).not.toContain('mon:stdio');
  });
});
