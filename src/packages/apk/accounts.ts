import { join } from 'node:path';
import { changeMode, readEntry, readTextIfExists, writeFile } from '../../host/files.ts';
import { TreelineError } from '../../host/errors.ts';
import type { Recipe } from '../../model.ts';
import { accountRecords, withRecords } from '../../recipe/account-records.ts';
import type { FetchedPackage } from './fetch.ts';

/** Packages that bring /etc/passwd; before Alpine 3.17 the second did. */
const accountPackages = ['alpine-baselayout-data', 'alpine-baselayout'];

/**
 * Lets users and groups of the recipe be there before any package's script looks for them: so a package gets the id that
 * a layer pins. Nothing happens where the recipe has none but root.
 */
export async function pinAccounts(
  root: string,
  { settings: { users, groups } }: Recipe,
  { packages, install }: { packages: readonly FetchedPackage[]; install: (names: string[]) => Promise<void> },
): Promise<void> {
  const carrier = accountPackages.find((name) => packages.some((file) => file.package.name === name));
  if (carrier === undefined || [...users, ...groups].every(({ name }) => name === 'root')) return;
  await install([carrier]);
  await refuseLinks(root);
  const records = accountRecords(users, groups);
  for (const kind of ['passwd', 'group', 'shadow'] as const) {
    const path = join(root, 'etc', kind);
    const mode = (await readEntry(path))?.mode ?? 0o644;
    // In place: its owner stays.
    await writeFile(path, withRecords(kind, (await readTextIfExists(path)) ?? '', records[kind]));
    await changeMode(path, mode);
  }
}

/** A package or its script may have put links there, which on this machine would lead out of the root. */
async function refuseLinks(root: string): Promise<void> {
  const expected = { etc: 'directory', 'etc/passwd': 'file', 'etc/group': 'file', 'etc/shadow': 'file' };
  for (const [path, kind] of Object.entries(expected)) {
    const entry = await readEntry(join(root, path));
    if (entry === undefined || entry.kind === kind) continue;
    throw new TreelineError('package', `Cannot use the packages’ /${path}: it is no ${kind}`, {
      hint: 'A package or a script of one put something else there: leave that package out.',
    });
  }
}
