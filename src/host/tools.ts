import { accessSync, constants, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { TreelineError } from './errors.ts';
import { minimalEnvironment } from './environment.ts';

/** What something is needed for: any build, disk images, container templates, builds by ordinary users, npm run boot, the tests. */
export type Purpose = 'build' | 'vm' | 'container' | 'rootless' | 'boot' | 'test';

/** A program that a build needs, and the package that has it, by the host's package manager. */
export interface Tool {
  program: string;
  apt: string;
  apk: string;
  purpose: Purpose;
}

export const tools: readonly Tool[] = [
  { program: 'ostree', apt: 'ostree', apk: 'ostree', purpose: 'build' },
  { program: 'flock', apt: 'util-linux', apk: 'flock', purpose: 'build' },
  { program: 'unshare', apt: 'util-linux', apk: 'util-linux-misc', purpose: 'build' },
  { program: 'prlimit', apt: 'util-linux', apk: 'util-linux-misc', purpose: 'build' },
  { program: 'setpriv', apt: 'util-linux', apk: 'setpriv', purpose: 'build' },
  { program: 'apt-get', apt: 'apt', apk: 'apt', purpose: 'build' },
  { program: 'dpkg-deb', apt: 'dpkg', apk: 'dpkg', purpose: 'test' },
  { program: 'curl', apt: 'curl', apk: 'curl', purpose: 'build' },
  { program: 'tar', apt: 'tar', apk: 'tar', purpose: 'build' },
  { program: 'xz', apt: 'xz-utils', apk: 'xz', purpose: 'build' },
  { program: 'zstd', apt: 'zstd', apk: 'zstd', purpose: 'build' },
  { program: 'gpg', apt: 'gpg', apk: 'gnupg', purpose: 'build' },
  { program: 'gpg-agent', apt: 'gpg-agent', apk: 'gnupg', purpose: 'build' },
  { program: 'bwrap', apt: 'bubblewrap', apk: 'bubblewrap', purpose: 'build' },
  { program: 'depmod', apt: 'kmod', apk: 'kmod', purpose: 'vm' },
  { program: 'cpio', apt: 'cpio', apk: 'cpio', purpose: 'vm' },
  { program: 'sfdisk', apt: 'fdisk', apk: 'sfdisk', purpose: 'vm' },
  { program: 'mke2fs', apt: 'e2fsprogs', apk: 'e2fsprogs', purpose: 'vm' },
  { program: 'debugfs', apt: 'e2fsprogs', apk: 'e2fsprogs-extra', purpose: 'vm' },
  { program: 'dumpe2fs', apt: 'e2fsprogs', apk: 'e2fsprogs-extra', purpose: 'vm' },
  { program: 'mkswap', apt: 'util-linux', apk: 'util-linux-misc', purpose: 'vm' },
  { program: 'mkfs.vfat', apt: 'dosfstools', apk: 'dosfstools', purpose: 'vm' },
  { program: 'mcopy', apt: 'mtools', apk: 'mtools', purpose: 'vm' },
  { program: 'mmd', apt: 'mtools', apk: 'mtools', purpose: 'vm' },
  { program: 'grub-mkimage', apt: 'grub-common', apk: 'grub', purpose: 'vm' },
  { program: 'mksquashfs', apt: 'squashfs-tools', apk: 'squashfs-tools', purpose: 'container' },
  { program: 'newuidmap', apt: 'uidmap', apk: 'shadow-uidmap', purpose: 'rootless' },
  { program: 'newgidmap', apt: 'uidmap', apk: 'shadow-uidmap', purpose: 'rootless' },
  { program: 'qemu-system-x86_64', apt: 'qemu-system-x86', apk: 'qemu-system-x86_64', purpose: 'boot' },
  { program: 'lxc-start', apt: 'lxc', apk: 'lxc', purpose: 'test' },
  { program: 'ssh', apt: 'openssh-client', apk: 'openssh-client', purpose: 'test' },
  { program: 'gpgv', apt: 'gpgv', apk: 'gnupg', purpose: 'test' },
  { program: 'lz4', apt: 'lz4', apk: 'lz4', purpose: 'test' },
  { program: 'busybox', apt: 'busybox-static', apk: 'busybox-static', purpose: 'test' },
  { program: 'shellcheck', apt: 'shellcheck', apk: 'shellcheck', purpose: 'test' },
  { program: 'faketime', apt: 'faketime', apk: 'libfaketime', purpose: 'test' },
  { program: 'sgdisk', apt: 'gdisk', apk: 'sgdisk', purpose: 'test' },
  { program: 'setcap', apt: 'libcap2-bin', apk: 'libcap-setcap', purpose: 'test' },
  { program: 'ip', apt: 'iproute2', apk: 'iproute2', purpose: 'test' },
  { program: 'openssl', apt: 'openssl', apk: 'openssl', purpose: 'test' },
  { program: 'pgrep', apt: 'procps', apk: 'procps', purpose: 'test' },
  { program: 'python3', apt: 'python3', apk: 'python3', purpose: 'test' },
  { program: 'taskset', apt: 'util-linux', apk: 'util-linux-misc', purpose: 'test' },
  { program: 'qemu-img', apt: 'qemu-utils', apk: 'qemu-img', purpose: 'boot' },
];

/** Files, not programs, that a build reads from the host. */
export const toolFiles: readonly {
  path: string;
  alternatives: readonly string[];
  apt: string;
  apk: string;
  purpose: Purpose;
}[] = [
  {
    path: '/usr/lib/grub/i386-pc/boot.img',
    alternatives: [],
    apt: 'grub-pc-bin',
    apk: 'grub-bios',
    purpose: 'vm',
  },
  {
    path: '/usr/lib/grub/x86_64-efi/moddep.lst',
    alternatives: [],
    apt: 'grub-efi-amd64-bin',
    apk: 'grub-efi',
    purpose: 'vm',
  },
  {
    path: '/usr/share/OVMF/OVMF_CODE.fd',
    alternatives: ['/usr/share/OVMF/OVMF_CODE_4M.fd'],
    apt: 'ovmf',
    apk: 'ovmf',
    purpose: 'boot',
  },
];

/** Programs of `wanted` (all known ones by default) that are not on the PATH. */
export function findMissing(purposes: readonly Purpose[]): { names: string[]; packages: string[] } {
  const programs = tools.filter((tool) => purposes.includes(tool.purpose) && !isInstalled(tool.program));
  const files = toolFiles.filter(
    (file) => purposes.includes(file.purpose) && ![file.path, ...file.alternatives].some(isReadable),
  );
  const manager = packageManager();
  return {
    names: [...programs.map((tool) => tool.program), ...files.map((file) => file.path)],
    packages: [...new Set([...programs, ...files].map((entry) => entry[manager]))].toSorted(),
  };
}

/** All missing programs at once, with the command that installs them. */
export function requireTools(purposes: readonly Purpose[]): void {
  const { names, packages } = findMissing(purposes);
  if (names.length > 0)
    throw new TreelineError('host', `Cannot build: this machine lacks ${names.join(', ')}`, {
      hint: installHint(packages),
    });
}

export function missingToolError(programs: readonly string[]): TreelineError {
  const packages = programs.map(
    (program) => tools.find((tool) => tool.program === program)?.[packageManager()] ?? program,
  );
  return new TreelineError('host', `Cannot run ${programs.join(', ')}: not installed on this machine`, {
    hint: installHint(packages),
  });
}

const installHint = (packages: readonly string[]): string =>
  `Run ./scripts/setup, or: ${installCommand(packages)}`;

/** What root types to install packages on this machine. */
export function installCommand(packages: readonly string[]): string {
  const install = packageManager() === 'apk' ? 'apk add' : 'apt-get install';
  return `${install} ${packages.join(' ')}`;
}

/** Which package manager the host itself uses; apt unless its os-release says Alpine. */
export function packageManager(): 'apt' | 'apk' {
  try {
    return /^ID(_LIKE)?="?alpine"?$/m.test(readFileSync('/etc/os-release', 'utf8')) ? 'apk' : 'apt';
  } catch {
    return 'apt';
  }
}

export function isInstalled(program: string): boolean {
  const { PATH } = minimalEnvironment();
  return PATH.split(':').some((directory) => isExecutable(join(directory, program)));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}
