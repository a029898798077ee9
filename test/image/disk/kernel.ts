import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { execa } from 'execa';

const cache = resolve('node_modules/.cache/treeline-test');

/** What a guest needs at least; paths. */
export interface GuestParts {
  vmlinuz: string;
  busybox: string;
}

/**
 * Debian's cloud kernel and static busybox, from the host's archive, kept for the next time. Returns the reason where
 * they cannot be had.
 */
export async function fetchGuestParts(): Promise<GuestParts | string> {
  const directory = join(cache, 'guest-parts');
  if (!existsSync(directory)) {
    await mkdir(cache, { recursive: true });
    const fresh = await mkdtemp(join(cache, 'fetching-'));
    try {
      await download(fresh);
      await rename(fresh, directory).catch((error: unknown) => {
        // Another test was faster.
        if (!existsSync(directory)) throw error;
      });
    } catch (error) {
      return `kernel and busybox are not to be had: ${String(error).split('\n')[0]}`;
    } finally {
      await rm(fresh, { recursive: true, force: true });
    }
  }
  const [vmlinuz] = (await readdir(join(directory, 'boot'))).filter((name) => name.startsWith('vmlinuz-'));
  const busybox = ['usr/bin/busybox', 'bin/busybox'].map((path) => join(directory, path)).find(existsSync);
  return { vmlinuz: join(directory, 'boot', vmlinuz!), busybox: busybox! };
}

async function download(directory: string): Promise<void> {
  const { stdout } = await execa('apt-cache', ['depends', '--important', 'linux-image-cloud-amd64']);
  const kernel = /Depends: (linux-image-\S+)/.exec(stdout)?.[1];
  if (kernel === undefined) throw new Error('the archive has no linux-image-cloud-amd64');
  await execa('apt-get', ['--quiet', 'download', kernel, 'busybox-static'], { cwd: directory });
  for (const name of await readdir(directory))
    await execa('dpkg-deb', ['--extract', name, '.'], { cwd: directory });
}
