import { join } from 'node:path';
import { compressor, packTar } from './archive.ts';
import { dirname } from 'node:path/posix';
import type { Host } from '../../host/host.ts';

/**
 * Packs a deployment as a plain root directory, for hosts where a container may not mount: /etc and /var as at first
 * boot, all of it writable, no ostree and so no updates. `deployment` is relative to `sysroot`.
 */
export async function makeFlatTarball(
  host: Host,
  options: { sysroot: string; deployment: string; epoch: number; path: string },
): Promise<void> {
  const { sysroot, deployment, epoch, path } = options;
  // …/ostree/deploy/NAME/deploy/COMMIT.SERIAL
  const stateroot = dirname(dirname(deployment));
  await packTar(host, {
    epoch,
    args: [
      // Files of equal content are one file in a deployment; here, where they can be written to, each is its own.
      '--hard-dereference',
      '--anchored',
      ...['./usr/etc', './var', './ostree', './sysroot'].map((excluded) => `--exclude=${excluded}`),
      `--directory=${join(sysroot, deployment)}`,
      '.',
      '--no-anchored',
      `--directory=${join(sysroot, stateroot)}`,
      'var',
    ],
    rest: { pipeTo: [compressor(path)], outputFile: path, doing: `make ${path}` },
  });
}
