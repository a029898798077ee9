import { dirname, join } from 'node:path';
import { copy, makeDirectory, makeHardLink, writeFile } from '../../host/files.ts';
import type { FetchedPackage } from './fetch.ts';
import { writeIndex } from './formats/index-file.ts';
import type { SigningKey } from './formats/keys.ts';
import { indexEntryOf } from './formats/package-file.ts';
import { packageFile } from './repositories.ts';

/**
 * Writes a repository with these packages below `directory`: ARCH/NAME-VERSION.apk, and ARCH/APKINDEX.tar.gz signed with
 * `key`. The packages stay as they are, with their own signatures, and have the architecture that the lock says. `share`:
 * as hard links, where that is possible.
 */
export async function writeRepository(
  directory: string,
  packages: readonly FetchedPackage[],
  options: { architecture: string; key: SigningKey; description: string; share: boolean },
): Promise<void> {
  const { architecture, key, description, share } = options;
  await makeDirectory(join(directory, architecture));
  for (const { path, package: entry } of packages) {
    const place = join(directory, packageFile(entry));
    await makeDirectory(dirname(place));
    if (share) await makeHardLink(path, place).catch(() => copy(path, place));
    else await copy(path, place);
  }
  const entries = packages.map(({ apk, package: entry }) => indexEntryOf(apk, entry.architecture));
  await writeFile(
    join(directory, architecture, 'APKINDEX.tar.gz'),
    writeIndex(entries, { description, key }),
  );
}
