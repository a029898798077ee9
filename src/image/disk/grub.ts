import { join } from 'node:path';
import type { Host } from '../../host/host.ts';
import { readBytes, readBytesAt, writeBytesAt, writeFile } from '../../host/files.ts';
import { embeddedConfig, grubModules } from './grub-config.ts';
import type { DiskPlan } from './plan.ts';
import { layoutError, sectorBytes } from './sfdisk-script.ts';

const grubDirectory = '/usr/lib/grub';

/** Builds a GRUB that needs nothing but the boot partition's configuration; returns its path below `scratch`. */
export async function makeGrub(
  host: Host,
  { platform, bootUuid, scratch }: { platform: 'i386-pc' | 'x86_64-efi'; bootUuid: string; scratch: string },
): Promise<string> {
  const config = join(scratch, `early-${platform}.cfg`);
  const output = join(scratch, `grub-${platform}`);
  await writeFile(config, embeddedConfig(bootUuid));
  await host.run({
    program: 'grub-mkimage',
    args: [
      ...['--directory', join(grubDirectory, platform), '--format', platform, '--prefix', '/grub'],
      ...['--config', config, '--output', output, ...grubModules.common, ...grubModules[platform]],
    ],
    doing: `make the boot loader (${platform})`,
  });
  return output;
}

/** Whether the disk gets a boot loader for BIOS: in its BIOS-boot partition, or behind the MBR of a DOS label. */
export function bootsByBios(plan: DiskPlan): boolean {
  return plan.layout.label === 'dos' || plan.partitions.some(({ role }) => role === 'bios-boot');
}

/**
 * Does what grub-install does on BIOS: GRUB's boot sector into the MBR, `core` into the BIOS-boot partition or the gap
 * behind the MBR, and the sectors of the latter into both.
 * Offsets: GRUB 2.06, include/grub/i386/pc/boot.h and include/grub/offsets.h.
 */
export async function installBiosGrub({
  image,
  plan,
  core,
}: {
  image: string;
  plan: DiskPlan;
  core: string;
}): Promise<void> {
  const room = coreRoom(plan);
  const coreImage = await readBytes(core);
  if (coreImage.length > room.bytes) {
    throw layoutError(
      plan.layout.name,
      `the boot loader needs ${Math.ceil(coreImage.length / sectorBytes)} sectors, and ${room.name} has ${Math.floor(room.bytes / sectorBytes)}`,
      plan.layout.label === 'gpt'
        ? 'Make the BIOS-boot partition 1 MiB large.'
        : 'Begin the first partition at start=2048.',
    );
  }
  const bootSector = await readBytesAt(join(grubDirectory, 'i386-pc/boot.img'), 0, sectorBytes);
  await writeBytesAt(image, room.start, pointedCore(coreImage, room.start / sectorBytes));
  await writeBytesAt(image, 0, pointedBootSector(bootSector, room.start / sectorBytes));
}

function coreRoom({ layout, partitions }: DiskPlan): { name: string; start: number; bytes: number } {
  const own = partitions.find(({ role }) => role === 'bios-boot');
  if (own !== undefined) return { name: own.name, start: own.start, bytes: own.size };
  const first = Math.min(...layout.partitions.map(({ start }) => start));
  return { name: 'the gap before the first partition', start: sectorBytes, bytes: first - sectorBytes };
}

/** The code part of the MBR; disk id and partition table behind it stay as they are. */
function pointedBootSector(bootImage: Buffer, coreSector: number): Buffer {
  const code = Buffer.from(bootImage.subarray(0, 440));
  code.writeBigUInt64LE(BigInt(coreSector), 0x5c);
  // Replaces the jump over the check of the drive number that some BIOSes get wrong, as grub-install does for disks.
  code.writeUInt16LE(0x9090, 0x66);
  return code;
}

/** The first sector of the core image loads the rest: one block list entry at its end says where that lies. */
function pointedCore(core: Buffer, coreSector: number): Buffer {
  const padded = Buffer.alloc(Math.ceil(core.length / sectorBytes) * sectorBytes);
  core.copy(padded);
  const entry = sectorBytes - 12;
  padded.writeBigUInt64LE(BigInt(coreSector + 1), entry);
  padded.writeUInt16LE(padded.length / sectorBytes - 1, entry + 8);
  padded.writeUInt16LE(0x820, entry + 10);
  return padded;
}
