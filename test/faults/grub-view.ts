import { createHash } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { execa } from 'execa';
import type { Partition } from './disk-check.ts';

/**
 * Copies /boot into `directory`, which is made, as GRUB sees it: GRUB replays no journal and verifies no checksum of the file
 * system, so what was written only to the journal is not there yet. To be called before anything mounts or repairs the disk.
 */
export async function copyGrubView(disk: string, boot: Partition, directory: string): Promise<void> {
  await mkdir(directory);
  // -c: without bitmaps, which only matter for writing; -n: checksums.
  await execa('debugfs', ['-c', '-n', '-R', `rdump / ${directory}`, `${disk}?offset=${boot.offset}`]);
}

interface MenuEntry {
  title: string;
  kernel: string;
  initramfs: string;
  /** In the root file system; what `ostree=` says. */
  deployment: string;
}

/** How a machine gets up. */
export interface GrubStart {
  /** Whether it takes one more start, in which the initramfs replays the journal of /boot. */
  mended: boolean;
  /** Sentences; none where it gets up. */
  problems: string[];
}

/**
 * What becomes of a machine whose GRUB sees `seen`, a copy of /boot. `replayed`, `root`: the mounted file systems, their
 * journals replayed.
 *
 * An old list of entries is no harm by itself: what it names may still be there. Its kernel must be, whole: nothing but GRUB
 * has run by then. The deployment may be gone: the initramfs, which does replay the journal of the root file system, then
 * replays the one of /boot and restarts. That helps only where the list on the replayed /boot is another one, and what that
 * one names need not be looked at here, since it has to be there anyway.
 */
export async function foreseeStart(seen: string, replayed: string, root: string): Promise<GrubStart> {
  const fails = (problem: string): GrubStart => ({ mended: false, problems: [problem] });
  const menu = await readMenu(seen);
  for (const entry of await inOrderOfTrying(parseMenu(menu), seen)) {
    const state = await stateOfKernel(seen, entry);
    // Then GRUB goes on to the next one by itself.
    if (state === 'missing') continue;
    if (state === 'damaged')
      return fails(`GRUB would start ${entry.title}: its kernel or initramfs is damaged`);
    if (await isThere(join(root, entry.deployment))) return { mended: false, problems: [] };
    if (menu !== (await readMenu(replayed))) return { mended: true, problems: [] };
    return fails(
      `GRUB would start ${entry.title}: there is no ${entry.deployment}, and no newer list of entries`,
    );
  }
  return fails(`GRUB sees no entry whose kernel is there; its list:\n${menu}`);
}

/** The places where grub.cfg looks, the first one that is not empty. */
async function readMenu(boot: string): Promise<string> {
  for (const directory of ['syslinux', 'loader.0', 'loader.1']) {
    const text = await readFile(join(boot, directory, 'syslinux.cfg'), 'utf8').catch(() => '');
    if (text !== '') return text;
  }
  return '';
}

function parseMenu(text: string): MenuEntry[] {
  return text
    .split(/^LABEL /m)
    .slice(1)
    .map((entry) => {
      const field = (name: string): string => new RegExp(`^\\s*${name} (.*)$`, 'm').exec(entry)?.[1] ?? '';
      return {
        title: entry.split('\n', 1)[0]!,
        kernel: field('KERNEL'),
        initramfs: field('INITRD'),
        deployment: /\bostree=(\S+)/.exec(field('APPEND'))?.[1] ?? '',
      };
    });
}

/** grub.cfg: the newest one and then the one before it; the other way round where no try is left. */
async function inOrderOfTrying([newest, before]: MenuEntry[], boot: string): Promise<MenuEntry[]> {
  const environment = await readFile(join(boot, 'grub/grubenv'), 'latin1').catch(() => '');
  const order = /^treeline_tries=0$/m.test(environment) ? [before, newest] : [newest, before];
  return order.filter((entry) => entry !== undefined);
}

/** OSTree names the directory of the two by the SHA-256 of both. */
async function stateOfKernel(
  boot: string,
  { kernel, initramfs }: MenuEntry,
): Promise<'whole' | 'damaged' | 'missing'> {
  const hash = createHash('sha256');
  for (const path of [kernel, initramfs]) {
    const content = await readFile(join(boot, path)).catch(() => undefined);
    if (content === undefined) return 'missing';
    hash.update(content);
  }
  return basename(dirname(kernel)).endsWith(`-${hash.digest('hex')}`) ? 'whole' : 'damaged';
}

const isThere = async (path: string): Promise<boolean> =>
  (await execa('readlink', ['-e', path], { reject: false })).exitCode === 0;
