import { join } from 'node:path';
import { TreelineError } from '../../host/errors.ts';
import {
  changeMode,
  copy,
  listNames,
  makeDirectory,
  makeHardLink,
  makeLink,
  pathExists,
  readEntry,
  remove,
} from '../../host/files.ts';
import type { Entry } from '../../host/files.ts';
import { isStaticProgram } from '../../host/elf.ts';

export interface Shell {
  /** Relative to the sysroot: the deployment that /current points at. */
  deployment: string;
}

/** One name in the root of a template. */
export type ShellEntry = { path: string; mode: number } | { path: string; link: string };

const stateroot = 'ostree/deploy/treeline';
const shimPath = 'usr/lib/treeline/container/init';

/**
 * Puts the shell around a sysroot: /current → the deployment, links through it, empty mount points, and /sbin/init with
 * a static busybox to run it. Throws TreelineError 'recipe' where the tree lacks what the shell needs.
 */
export async function addShell(sysroot: string): Promise<Shell> {
  const deployment = await findDeployment(sysroot);
  const root = join(sysroot, deployment);
  const shim = await requireShim(root);
  const busybox = await findStaticBusybox(root);
  await putEntry(sysroot, { path: 'current', link: deployment });
  const top = await Promise.all((await listNames(root)).map(async (name) => entryOf(root, name)));
  for (const entry of planShell(top, stateroot)) await putEntry(sysroot, entry);

  // Programs that are looked for in /sbin by their full path; /sbin itself cannot be a link, because init is in it.
  await putEntry(sysroot, { path: 'sbin', mode: 0o755 });
  for (const name of (await listNames(join(root, 'usr/sbin'))).filter((program) => program !== 'init')) {
    await putEntry(sysroot, { path: `sbin/${name}`, link: `../current/usr/sbin/${name}` });
  }
  await remove(join(sysroot, 'sbin/busybox'));
  await makeHardLink(busybox, join(sysroot, 'sbin/busybox'));
  await copy(shim, join(sysroot, 'sbin/init'));
  await changeMode(join(sysroot, 'sbin/init'), 0o755);
  return { deployment };
}

/** What the root of a template holds, given the root of the deployment (`path` is the name) and where its /var lies. */
export function planShell(deploymentRoot: readonly Entry[], state: string): ShellEntry[] {
  const own = new Set(['boot', 'ostree', 'sysroot', 'sbin', 'var', 'dev', 'proc', 'run', 'sys', 'tmp']);
  const links = deploymentRoot
    .filter((entry) => !own.has(entry.path))
    .map(({ path, kind, link }) =>
      kind === 'symlink' && link !== undefined ? { path, link } : { path, link: `current/${path}` },
    );
  return [
    ...['dev', 'proc', 'run', 'sys'].map((path) => ({ path, mode: 0o755 })),
    { path: 'tmp', mode: 0o1777 },
    { path: 'var', link: `${state}/var` },
    ...links,
  ];
}

async function putEntry(sysroot: string, entry: ShellEntry): Promise<void> {
  const path = join(sysroot, entry.path);
  await remove(path);
  if ('link' in entry) return makeLink(entry.link, path);
  await makeDirectory(path);
  return changeMode(path, entry.mode);
}

async function entryOf(root: string, name: string): Promise<Entry> {
  return { ...(await readEntry(join(root, name)))!, path: name };
}

async function findDeployment(sysroot: string): Promise<string> {
  const directory = `${stateroot}/deploy`;
  const names = (await listNames(join(sysroot, directory))).filter((name) =>
    /^[0-9a-f]{64}\.\d+$/.test(name),
  );
  if (names.length === 1) return `${directory}/${names[0]}`;
  throw new TreelineError(
    'recipe',
    `Cannot make a template of ${sysroot}: it holds ${names.length} deployments in ${directory}, not one`,
  );
}

async function requireShim(root: string): Promise<string> {
  const shim = join(root, shimPath);
  if (await pathExists(shim)) return shim;
  throw new TreelineError('recipe', `Cannot make a template: the tree has no /${shimPath}`, {
    hint: 'The layer common brings it; a layer that replaces common must bring its own.',
  });
}

/** The shell must run whatever becomes of the deployments, so it cannot rest on their libraries. */
async function findStaticBusybox(root: string): Promise<string> {
  for (const name of ['usr/bin/busybox.static', 'usr/bin/busybox']) {
    const path = join(root, name);
    if ((await readEntry(path))?.kind === 'file' && (await isStaticProgram(path))) return path;
  }
  throw new TreelineError(
    'recipe',
    'Cannot make a template: the tree has no statically linked busybox in /usr/bin',
    {
      hint: 'Add the package busybox-static to a packages.list.',
    },
  );
}
