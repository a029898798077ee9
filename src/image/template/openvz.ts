import { writeFile } from '../../host/files.ts';
import type { ImageFacts } from './facts.ts';

/**
 * The name of an OS template, without .tar.gz. vzctl cuts parts off its end until /etc/vz/dists has a file of that name
 * (debian-12-x86_64, debian-12, debian), so the distribution must come first.
 */
export const openvzTemplateName = ({ distribution, release, architecture, version }: ImageFacts): string =>
  `${distribution}-${release}-${architecture}-treeline-${version}`;

/** Limits for `vzctl create --config treeline`, to lie in /etc/vz/conf as ve-treeline.conf-sample. */
export async function writeOpenvzSample(path: string): Promise<void> {
  const text = `# vzctl create CTID --ostemplate TEMPLATE --config treeline
ONBOOT="no"
PHYSPAGES="0:128M"
SWAPPAGES="0:64M"
# Two deployments, their repository and what /var holds.
DISKSPACE="1G:1.1G"
DISKINODES="200000:220000"
QUOTATIME="0"
CPUUNITS="1000"
`;
  await writeFile(path, text);
}
