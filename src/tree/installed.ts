import { lstat, readFile, rename } from 'node:fs/promises';
import { TreelineError } from '../host/errors.ts';
import { listTree } from '../host/files.ts';
import type { Recipe } from '../model.ts';
import { scriptsArchive, transientFiles } from '../packages/apk/dialect.ts';
import { untaggedWorldOf } from '../packages/apk/world.ts';
import { throughRootLinks } from '../recipe/tree-paths.ts';
import { resolveInTree } from './paths.ts';
import { existsInTree, putDirectory, putFile, readInTree, removePath } from './write.ts';

/** Where apk's own program is in a tree; /sbin/apk is a script of the base's layer that tells what works on a read-only system. */
const apkProgram = 'usr/libexec/apk';

/**
 * What a package manager leaves that is of no use in a read-only tree, or tells of the time of the installation: the same
 * packages then give the same tree on every day. Throws 'package' for files that a script made setuid or setgid.
 */
export async function tidyInstalled(root: string, recipe: Recipe): Promise<void> {
  await refuseNewSetuid(root, recipe);
  for (const path of ['etc/passwd-', 'etc/group-', 'etc/shadow-', ...transientFiles.map(throughRootLinks)])
    await removePath(root, path);
  await forgetPasswordDates(root);
  await forgetScriptTimes(root);
  await putFile(
    root,
    'etc/apk/world',
    untaggedWorldOf(recipe)
      .toSorted()
      .map((name) => `${name}\n`)
      .join(''),
  );
  for (const path of ['usr/sbin/apk', 'usr/bin/apk']) {
    if (!(await existsInTree(root, path))) continue;
    await putDirectory(root, 'usr/libexec');
    await rename(await resolveInTree(root, path), await resolveInTree(root, apkProgram));
  }
}

async function refuseNewSetuid(root: string, recipe: Recipe): Promise<void> {
  const allowed = new Set(recipe.settings.setuid.map(throughRootLinks));
  const found = (await listTree(root)).find(
    ({ path, kind, mode }) => kind === 'file' && (mode & 0o6000) !== 0 && !allowed.has(path),
  );
  if (found === undefined) return;
  throw new TreelineError(
    'package',
    `Cannot build ${recipe.ref}: a package’s script made /${found.path} setuid or setgid (mode ${found.mode.toString(8)})`,
    { hint: `If that is meant to be, add /${found.path} to the setting setuid of a layer.` },
  );
}

/** adduser(8) writes the day into the third field of shadow(5). */
async function forgetPasswordDates(root: string): Promise<void> {
  if (!(await existsInTree(root, 'etc/shadow'))) return;
  const { mode, uid, gid } = await lstat(await resolveInTree(root, 'etc/shadow', 'follow'));
  const lines = (await readInTree(root, 'etc/shadow')).split('\n');
  const text = lines.map((line) => line.replace(/^([^:]*:[^:]*):\d+:/, '$1::')).join('\n');
  await putFile(root, 'etc/shadow', text, { mode: mode & 0o7777, uid, gid });
}

/** apk keeps packages' scripts in a tar archive (ustar) with the time of the installation. */
async function forgetScriptTimes(root: string): Promise<void> {
  const path = throughRootLinks(scriptsArchive);
  if (!(await existsInTree(root, path))) return;
  const place = await resolveInTree(root, path, 'follow');
  const archive = await readFile(place);
  const { mode } = await lstat(place);
  for (let offset = 0; offset + 512 <= archive.length && archive[offset] !== 0;) {
    const header = archive.subarray(offset, offset + 512);
    header.write('00000000000\0', 136, 'latin1');
    header.fill(' ', 148, 156);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    const size = Number.parseInt(header.toString('latin1', 124, 136), 8) || 0;
    offset += 512 + Math.ceil(size / 512) * 512;
  }
  await putFile(root, path, archive, { mode: mode & 0o7777 });
}
