// Locks of one image with older packages, for measuring what changes.
import { join } from 'node:path';
import { fs } from 'zx';
import { bundleProgram, home } from '../treeline.mjs';
import { run } from './command.mjs';

/**
 * Writes a lock of what the archive had when the release came out, without security updates, from this machine's apt
 * sources. Returns its path; undefined where there is no such source.
 */
export async function olderLock({ builds, directory }, target) {
  const { distribution } = await builds.lock(target);
  const format = '$(REPO_URI) $(CODENAME) $(COMPONENT)';
  const sources = await run('apt-get', ['indextargets', '--format', format, 'Identifier: Packages']);
  const [uri] = sources
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, codename, component]) => codename === distribution.codename && component === 'main')
    .map(([repository]) => repository);
  if (uri === undefined) return undefined;
  const path = join(directory, `older-${target}.lock.json`);
  const mirror = `deb ${uri} ${distribution.codename} main`;
  await builds.program('lock', path, '--quiet', '--base', 'debian', '--target', target, '--mirror', mirror);
  return path;
}

/**
 * Writes the newest lock with one package as old as in the older one: the largest that both name, and that is no kernel.
 * Returns its name; undefined where there is none.
 */
export async function swapPackage({ newest, older, to, scratch }) {
  const { formatLocks, makeLock, readLocks } = await lockModule(scratch);
  const [[ref, lock]] = await readLocks(newest);
  const before = (await readLocks(older)).get(ref).packages;
  const [candidate] = before
    .filter(({ name }) => !name.startsWith('linux-image'))
    .filter((old) => lock.packages.some(({ name, version }) => name === old.name && version !== old.version))
    .toSorted((a, b) => b.size - a.size);
  if (candidate === undefined) return undefined;
  const packages = lock.packages.map((entry) => (entry.name === candidate.name ? candidate : entry));
  const swapped = makeLock(lock.distribution, { packages, tools: lock.tools });
  await fs.writeFile(to, formatLocks(new Map([[ref, swapped]])));
  return candidate.name;
}

async function lockModule(scratch) {
  const path = join(scratch, 'lock.mjs');
  if (!(await fs.pathExists(path))) await bundleProgram(join(home, 'src/packages/lock.ts'), path);
  return import(path);
}
