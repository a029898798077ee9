// The other programs: where they come from, and whether they are here.
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { run } from './command.mjs';

/** Debian's package of each program. They are no tools of Treeline: who wants to compare installs them. */
const packageOf = {
  mmdebstrap: 'mmdebstrap',
  mkosi: 'mkosi',
  ostree: 'ostree',
  mke2fs: 'e2fsprogs',
  mksquashfs: 'squashfs-tools',
  xdelta3: 'xdelta3',
  bsdiff: 'bsdiff',
  zstd: 'zstd',
  xz: 'xz-utils',
};

/** Why something that needs these programs cannot be measured here; undefined where it can. */
export function lacking(...programs) {
  const missing = programs.filter((program) => !isInstalled(program));
  if (missing.length === 0) return undefined;
  return `${missing.join(', ')} not installed (apt-get install ${missing.map((name) => packageOf[name]).join(' ')})`;
}

/** Versions of the peers that are installed, as their packages have them. */
export async function peerVersions() {
  const names = Object.keys(packageOf).filter(isInstalled);
  const packages = [...new Set(names.map((name) => packageOf[name]))];
  const format = '${Package} ${Version}\\n';
  const text = await run('dpkg-query', ['--show', '--showformat', format, ...packages]).catch(() => '');
  return text.split('\n').filter((line) => line !== '');
}

function isInstalled(program) {
  const places = `${process.env.PATH}${delimiter}/usr/sbin${delimiter}/sbin`.split(delimiter);
  return places.some((place) => {
    try {
      accessSync(join(place, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
