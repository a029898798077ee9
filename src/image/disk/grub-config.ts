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
 * Boot counting, decided before any kernel runs. A version on trial has treeline_tries in grubenv (the guest's
 * boot-state.sh writes it); each start uses one up, and where none is left the version before it starts, and goes on
 * doing so until the guest has drawn its conclusions. Whatever else grubenv is, the newest version starts.
 * GRUB has no arithmetic, so the countdown is written out. Entry 0 is the newest version, entry 1 the one before it.
 */
export const bootCounting = `unset treeline_tries
set previous=
if load_env treeline_tries; then
  if [ "$treeline_tries" = 0 ]; then
    set previous=yes
  elif [ "$treeline_tries" = 1 -o "$treeline_tries" = 2 -o "$treeline_tries" = 3 ]; then
    if [ "$treeline_tries" = 3 ]; then
      set treeline_tries=2
    elif [ "$treeline_tries" = 2 ]; then
      set treeline_tries=1
    else
      set treeline_tries=0
    fi
    # A try that cannot be counted is not made: it might be one of very many.
    if save_env treeline_tries; then true; else set previous=yes; fi
  fi
fi
if [ "$previous" = yes ]; then
  set default=1
  set fallback=0
fi
`;

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
# OSTree switches the link /loader from loader.0 to loader.1 and back. GRUB does not replay the journal: where power was lost
# during a switch, it may find the link unreadable, but never both of them.
if [ -s ($root)/syslinux/syslinux.cfg ]; then
  syslinux_source -s -r ($root)/ ($root)/syslinux/syslinux.cfg
elif [ -s ($root)/loader.0/syslinux.cfg ]; then
  syslinux_source -s -r ($root)/ ($root)/loader.0/syslinux.cfg
else
  syslinux_source -s -r ($root)/ ($root)/loader.1/syslinux.cfg
fi

set default=0
set fallback=1
set timeout=1

${bootCounting}`;

/**
 * The head of syslinux.cfg, which OSTree carries over from deployment to deployment. TIMEOUT (tenths of a second) must
 * be there: without it GRUB reads the entries and shows none.
 */
export const syslinuxHeader = 'TIMEOUT 10\n';

/**
 * `grub/grubenv` without a variable: the block that GRUB and the guest write in place from then on, so that neither of
 * them needs room for it. Format: GRUB 2.06, include/grub/lib/envblk.h.
 */
export const emptyGrubEnvironment = '# GRUB Environment Block\n'.padEnd(1024, '#');
