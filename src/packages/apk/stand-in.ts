import { sign } from 'node:crypto';
import { dirname, join } from 'node:path';
import { makeDirectory, sha256, writeFile } from '../../host/files.ts';
import type { Recipe } from '../../model.ts';
import { writeIndex } from './formats/index-file.ts';
import { indexEntryOf, verifyPackage } from './formats/package-file.ts';
import { gzip } from './formats/signature.ts';
import { tarEnd, tarFile } from './formats/tar-writer.ts';
import type { VisibleRepository } from './program.ts';
import { packageFile } from './repositories.ts';
import type { WorkspaceKey } from './workspace-key.ts';
import { standIn } from './world.ts';

/**
 * Writes a repository below `directory` with one empty package that provides what the recipe's setting `provided` names:
 * apk then takes it as installed. Only the signature depends on the key, not the size. No repository where nothing is
 * provided.
 */
export async function writeStandIn(
  directory: string,
  recipe: Recipe,
  key: WorkspaceKey,
): Promise<VisibleRepository[]> {
  if (recipe.provided.length === 0) return [];
  const { architecture } = recipe.distribution;
  const bytes = standInPackage(recipe, key);
  const apk = verifyPackage(bytes, { label: standIn, keys: [key.public], setuid: [] });
  const path = join(directory, packageFile(apk));
  await makeDirectory(dirname(path));
  await writeFile(path, bytes);
  const index = writeIndex([indexEntryOf(apk)], { description: standIn, key: key.signing });
  await writeFile(join(directory, architecture, 'APKINDEX.tar.gz'), index);
  return [{ name: standIn, tag: undefined, directory }];
}

/** An Alpine package (apk-tools 2): signature, control and data member. */
function standInPackage({ provided, distribution }: Recipe, key: WorkspaceKey): Buffer {
  const data = gzip(tarEnd);
  const fields = [
    ['pkgname', standIn],
    ['pkgver', '0-r0'],
    ['pkgdesc', 'Stands in for packages in whose place the tree has something else'],
    ['url', ''],
    ['builddate', '0'],
    ['packager', 'Treeline'],
    ['size', '0'],
    ['arch', distribution.architecture],
    ['origin', standIn],
    ['license', 'none'],
    ...provided.map(({ name }) => ['provides', name]),
    ['datahash', sha256(data)],
  ];
  const control = gzip(
    tarFile('.PKGINFO', Buffer.from(fields.map(([name, value]) => `${name} = ${value}\n`).join(''))),
  );
  const signature = sign('sha256', control, key.signing.key);
  // Not compressed: apk's database has the size of the file, which then is the same whatever the key.
  const signatureMember = gzip(tarFile(`.SIGN.RSA256.${key.signing.name}`, signature), 0);
  return Buffer.concat([signatureMember, control, data]);
}
