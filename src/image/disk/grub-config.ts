/**
 * Modules that go into every GRUB image: the boot partition holds configuration only, no modules, so that a GRUB and
 * its modules never fall apart.
 */
export const grubModules = {
  common: [
    'part_gpt', 'part_msdos', 'ext2', 'search', 'search_fs_uuid', 'configfile', 'normal', 'syslinuxcfg', 'linux',
    'serial', 'terminal', 'loadenv', 'test', 'true', 'echo', 'sleep', 'ls', 'cat', 'minicmd', 'halt', 'reboot',
  ],
  // linux16: what GRUB makes of a syslinux entry on BIOS.
  'i386-pc': ['biosdisk', 'linux16'],
  'x86_64-efi': ['efi_gop', 'efi_uga', 'all_video'],
} as const; // prettier-ignore

/** What GRUB runs first: it finds the boot partition wherever it is, by its filesystem's UUID. */
export function embeddedConfig(bootUuid: string): string {
  return `search --no-floppy --fs-uuid --set=root ${bootUuid}
set prefix=($root)/grub
configfile ($root)/grub/grub.cfg
`;
}

/**
 * `grub/grub.cfg` on the boot partition; the same for every image and never rewritten: the entries are those of the
 * syslinux.cfg that OSTree writes at each deployment.
 */
export const grubConfig = `# Written once, when the image was made. The boot entries are OSTree's: syslinux/syslinux.cfg.

# On UEFI the firmware's console already includes the serial port where it is wanted.
if [ "$grub_platform" = pc ]; then
  if serial --unit=0 --speed=115200; then
    terminal_input console serial
    terminal_output console serial
  fi
fi

# Its TIMEOUT and DEFAULT set the variables timeout and default: what follows has the last word.
syslinux_source -s -r ($root)/ ($root)/syslinux/syslinux.cfg

set default=0
set timeout=1

# BOOT COUNTING: this is the place for it, between the default above and the menu that follows.
`;

/**
 * The head of syslinux.cfg, which OSTree carries over from deployment to deployment. TIMEOUT (tenths of a second) must
 * be there: without it GRUB reads the entries and shows none.
 */
export const syslinuxHeader = 'TIMEOUT 10\n';
