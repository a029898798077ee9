import { join } from 'node:path';
import { TreelineError } from '../host/errors.ts';
import { changeMode, listTree, makeDirectory, remove, setTimes } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import { knownNamesHint } from '../host/nearest.ts';
import type { Recipe } from '../model.ts';
import { isStaticProgram } from '../host/elf.ts';
import { moduleName, parseModulesDep, runDepmod, withDependencies } from './kernel.ts';
import { resolveInTree } from './paths.ts';
import { existsInTree, putCopy, putDirectory, putFile, putLink, readInTree } from './write.ts';

const initPath = 'usr/lib/treeline/initramfs/init';
/** Started by `init` where it is there. */
const deadlinePath = 'usr/lib/treeline/initramfs/deadline';

/**
 * Makes usr/lib/modules/<version>/initramfs.img: busybox, the modules that the recipe names with what they need, and
 * the layer's init. A cpio archive (newc), uncompressed so that deltas see into it; the same content gives the same bytes.
 */
export async function makeInitramfs(
  host: Host,
  options: { root: string; recipe: Recipe; version: string; epoch: number; scratch: string },
): Promise<void> {
  const { root, recipe, version, epoch, scratch } = options;
  await requireInit(root, recipe);
  await remove(scratch);
  await makeDirectory(scratch);
  for (const path of ['dev', 'proc', 'sys', 'run', 'etc', 'sysroot', 'usr/bin'])
    await putDirectory(scratch, path);
  for (const path of ['bin', 'sbin', 'usr/sbin', 'lib'])
    await putLink(scratch, path, path === 'lib' ? 'usr/lib' : path === 'usr/sbin' ? 'bin' : 'usr/bin');
  await putCopy(scratch, 'usr/bin/busybox', await findBusybox(root, recipe), { mode: 0o755 });
  await putCopy(scratch, 'init', await resolveInTree(root, initPath, 'follow'), { mode: 0o755 });
  if (await existsInTree(root, deadlinePath)) {
    await putCopy(scratch, 'deadline', await resolveInTree(root, deadlinePath, 'follow'), { mode: 0o755 });
  }
  const chosen = await copyModules(host, { root, recipe, version, scratch });
  await putFile(scratch, 'etc/modules', chosen.map((name) => `${name}\n`).join(''));
  await pack(host, scratch, { epoch, output: join(root, 'usr/lib/modules', version, 'initramfs.img') });
  await remove(scratch);
}

/** A busybox that needs no libraries: Alpine has one beside its own, Debian's is one. */
async function findBusybox(root: string, recipe: Recipe): Promise<string> {
  for (const path of ['usr/bin/busybox.static', 'usr/bin/busybox']) {
    const place = await resolveInTree(root, path, 'follow');
    if ((await existsInTree(root, path)) && (await isStaticProgram(place))) return place;
  }
  throw new TreelineError(
    'recipe',
    `Cannot make the initramfs of ${recipe.ref}: the tree has no statically linked busybox in /usr/bin`,
    { hint: 'Add the package busybox-static to a packages.list.' },
  );
}

async function requireInit(root: string, recipe: Recipe): Promise<void> {
  if (await existsInTree(root, initPath)) return;
  throw new TreelineError(
    'recipe',
    `Cannot make the initramfs of ${recipe.ref}: the tree has no /${initPath}`,
    {
      hint: 'A layer removed it; see npm run explain.',
    },
  );
}

/** Copies the recipe's modules; returns the names of those that no hardware asks for (file systems, ciphers), in order. */
async function copyModules(
  host: Host,
  { root, recipe, version, scratch }: { root: string; recipe: Recipe; version: string; scratch: string },
): Promise<string[]> {
  const directory = `usr/lib/modules/${version}`;
  const dependencies = parseModulesDep(await readInTree(root, `${directory}/modules.dep`));
  const pathOf = new Map([...dependencies.keys()].map((path) => [moduleName(path), path]));
  const builtIn = new Set(
    (await readInTree(root, `${directory}/modules.builtin`)).split('\n').map(moduleName),
  );
  const wanted = recipe.settings.kernel.initramfs.flatMap((written) => {
    const name = written.replace(/\?$/, '');
    const path = pathOf.get(name.replaceAll('-', '_'));
    if (path !== undefined) return [path];
    if (builtIn.has(name.replaceAll('-', '_')) || written.endsWith('?')) return [];
    throw new TreelineError(
      'recipe',
      `Cannot make the initramfs of ${recipe.ref}: kernel ${version} has no module ${name}`,
      {
        hint: `Correct kernel.initramfs, or keep the module with kernel.modules. ${knownNamesHint(name, [...pathOf.keys()]).split(' Known:')[0]}`,
      },
    );
  });
  for (const path of withDependencies(wanted, dependencies)) {
    await putCopy(scratch, `${directory}/${path}`, await resolveInTree(root, `${directory}/${path}`));
  }
  for (const name of ['modules.builtin', 'modules.order', 'modules.builtin.modinfo']) {
    if (!(await existsInTree(root, `${directory}/${name}`))) continue;
    await putCopy(scratch, `${directory}/${name}`, await resolveInTree(root, `${directory}/${name}`));
  }
  await runDepmod(host, scratch, version);
  return wanted.filter((path) => !path.startsWith('kernel/drivers/')).map(moduleName);
}

/** cpio(1) in newc format; names sorted, times fixed, inode numbers counted anew. */
async function pack(
  host: Host,
  directory: string,
  { epoch, output }: { epoch: number; output: string },
): Promise<void> {
  const entries = await listTree(directory);
  for (const { path, kind } of entries.toReversed())
    if (kind !== 'symlink') await setTimes(join(directory, path), epoch);
  await host.run({
    program: 'touch',
    args: [
      '-h',
      '-d',
      `@${epoch}`,
      ...entries.filter((entry) => entry.kind === 'symlink').map((entry) => entry.path),
    ],
    cwd: directory,
  });
  await host.run({
    program: 'cpio',
    args: ['--create', '--null', '--format=newc', '--reproducible', '--owner=+0:+0', '--quiet'],
    cwd: directory,
    input: entries.map((entry) => `${entry.path}\0`).join(''),
    outputFile: output,
    doing: 'pack the initramfs',
  });
  await changeMode(output, 0o644);
}
