import { randomBytes } from 'node:crypto';
import { execa } from 'execa';
import { temporaryTree } from './temporary-tree.ts';
import type { Change, TreeFile } from './versions.ts';

/** A version that works. `name` is in /usr/share/faults afterwards. */
export const good =
  (name: string): Change =>
  async () => [{ path: 'usr/share/faults', content: `${name}\n` }];

/** One that works and has another initramfs, so that /boot is written, too. */
export const otherInitramfs =
  (name: string): Change =>
  (before) =>
    addToInitramfs({ [name]: 'of no use\n' })(before);

/** One that works and is much work to install: another initramfs, a large file, many small ones. */
export const large: Change = async (before) => [
  ...(await otherInitramfs('large')(before)),
  { path: 'usr/share/faults-large/random', content: randomBytes(6 << 20) },
  ...Array.from({ length: 300 }, (_, number): TreeFile => ({
    path: `usr/share/faults-large/${number}`,
    content: `${number}\n`.repeat(200),
  })),
];

/** A kernel that the boot loader cannot load at all. */
export const kernelThatIsNone: Change = async ({ kernelDirectory }) => [
  { path: `${kernelDirectory}/vmlinuz`, content: 'This is no kernel.\n'.repeat(1000) },
];

/** One that begins to start, and comes to nothing: its compressed part is damaged. It halts, so a person has to restart it. */
export const kernelThatHalts: Change = async ({ kernelDirectory, read }) => {
  const kernel = Buffer.from(await read(`${kernelDirectory}/vmlinuz`));
  kernel.fill(0x55, kernel.length >> 1, (kernel.length >> 1) + (1 << 16));
  return [{ path: `${kernelDirectory}/vmlinuz`, content: kernel }];
};

/** A kernel that crashes, as by an error of its own, before anything of user space helps. */
export const kernelThatPanics: Change = (before) =>
  addToInitramfs({
    init: program(
      '/bin/busybox mkdir -p /proc; /bin/busybox mount -t proc proc /proc; echo c >/proc/sysrq-trigger; /bin/busybox sleep 1000',
    ),
  })(before);

/** Cut off: the kernel cannot unpack it. */
export const initramfsCutOff: Change = async ({ kernelDirectory, read }) => {
  const whole = await read(`${kernelDirectory}/initramfs.img`);
  return [{ path: `${kernelDirectory}/initramfs.img`, content: whole.subarray(0, whole.length >> 1) }];
};

/** Its init ends. */
export const initramfsThatEnds: Change = (before) => addToInitramfs({ init: program('exit 1') })(before);

/** It gets as far as arming the deadline, and then waits for ever for its root. */
export const initramfsThatHangs: Change = async (before) => {
  const own = (await before.read('usr/lib/treeline/initramfs/init')).toString();
  const hanging = own.replace(
    '\nmount_sysroot() {\n',
    '\nmount_sysroot() {\n\twhile :; do sleep 1000; done\n',
  );
  if (hanging === own) throw new Error('the initramfs has no mount_sysroot any more');
  return addToInitramfs({ init: hanging })(before);
};

/** The kernel panics when its first process ends. */
export const initThatEnds: Change = async () => [
  { path: 'usr/sbin/init', content: program('exit 1'), executable: true },
];

export const initThatHangs: Change = async () => [
  { path: 'usr/sbin/init', content: program('while :; do sleep 1000; done'), executable: true },
];

/** A service of the default runlevel that fails to start. */
export const failingService: Change = async () => [
  {
    path: 'usr/etc/init.d/failing',
    content: '#!/sbin/openrc-run\nstart() {\n\teend 1 "cannot start"\n}\n',
    executable: true,
  },
  { path: 'usr/etc/runlevels/default/failing', linkTo: '/etc/init.d/failing' },
];

/** At the first try the kernel panics, at the second one the init ends, and then a service fails. */
export const anotherFaultEachTime: Change = async (before) => [
  ...(await failingService(before)),
  {
    path: 'usr/sbin/init',
    content: program(`echo >>/var/faults
/bin/busybox sync
case $(/bin/busybox wc -l </var/faults) in
1) echo c >/proc/sysrq-trigger ;;
2) exit 1 ;;
esac
exec /bin/busybox init`),
    executable: true,
  },
];

/** Says that it started, and does nothing. */
export const noNetwork: Change = async () => [
  {
    path: 'usr/etc/init.d/networking',
    content: '#!/sbin/openrc-run\ndepend() {\n\tprovide net\n}\nstart() {\n\t:\n}\n',
    executable: true,
  },
];

const program = (text: string): string => `#!/bin/busybox sh\n${text}\n`;

/**
 * The initramfs with a second archive behind the first: the kernel unpacks one after the other, and the later file counts
 * (Documentation/driver-api/early-userspace/buffer-format.rst). All files are executable.
 */
const addToInitramfs =
  (files: Record<string, string>): Change =>
  async ({ kernelDirectory, read }) => {
    const path = `${kernelDirectory}/initramfs.img`;
    const before = await read(path);
    const padding = Buffer.alloc(-before.length & 3);
    return [{ path, content: Buffer.concat([before, padding, await archive(files)]) }];
  };

const archive = (files: Record<string, string>): Promise<Uint8Array> =>
  temporaryTree(files, async (directory) => {
    const { stdout } = await execa('cpio', ['-o', '-H', 'newc', '--quiet', '-R', '0:0'], {
      cwd: directory,
      input: Object.keys(files).join('\n'),
      encoding: 'buffer',
    });
    return stdout;
  });
