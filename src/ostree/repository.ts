import { join } from 'node:path';
import { TreelineError } from '../host/errors.ts';
import { makeDirectory, pathExists } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import { makeOnce } from '../host/make-once.ts';
import type { Commit } from '../model.ts';

/** Makes the workspace's repository where there is none yet, and returns its path. */
export async function openRepository(host: Host): Promise<string> {
  const { repository } = host.workspace;
  const doing = 'make the repository';
  // bare: objects keep owners, modes and hard links, so that trees are checked out and deployed without copying.
  await makeRepository(repository, async (path) => {
    await ostree(host, ['init', '--mode=bare'], { repository: path, doing });
    await ostree(host, ['config', 'set', 'core.fsync', 'false'], { repository: path, doing });
  });
  return repository;
}

/** A repository that `initialise` makes in a directory; one that is there already stays as it is. */
export const makeRepository = (
  repository: string,
  initialise: (path: string) => Promise<void>,
): Promise<void> =>
  makeOnce(
    repository,
    async (path) => {
      await makeDirectory(path);
      await initialise(path);
    },
    () => pathExists(join(repository, 'config')),
  );

/** Runs ostree on the workspace's repository and returns what it prints, trimmed. */
export async function ostree(
  host: Host,
  args: readonly string[],
  details: {
    doing?: string;
    accept?: readonly number[];
    repository?: string;
    input?: string | Uint8Array;
  } = {},
): Promise<string> {
  const { repository = host.workspace.repository, ...rest } = details;
  const output = await host.run({ program: 'ostree', args: [`--repo=${repository}`, ...args], ...rest });
  return output.stdout.trim();
}

/** The commit that a ref names, or undefined where there is no such ref; a repository that cannot be read is an error. */
export async function resolveRef(host: Host, ref: string): Promise<string | undefined> {
  const found = await host.run({
    program: 'ostree',
    args: [`--repo=${host.workspace.repository}`, 'rev-parse', ref],
    accept: [0, 1],
  });
  if (found.exitCode === 0) return found.stdout.trim();
  if (/Refspec .* not found/.test(found.stderr)) return undefined;
  throw new TreelineError(
    'command',
    `Cannot read ${host.workspace.repository}: it is no whole OSTree repository`,
    {
      hint: 'Restore it from your backup. Without it, remove the directory: the next build begins a history of its own.',
      output: found.stderr.trim(),
    },
  );
}

/** Every ref below a prefix, without the prefix's own slash, sorted. */
export async function listRefs(host: Host, prefix: string): Promise<string[]> {
  const list = await ostree(host, ['refs', '--list', prefix]);
  return list
    .split('\n')
    .filter((ref) => ref !== '')
    .toSorted();
}

/** What the repository knows of a commit; undefined where the commit is not there. */
export async function readCommit(host: Host, ref: string, id: string): Promise<Commit | undefined> {
  const shown = await host.run({
    program: 'ostree',
    args: [`--repo=${host.workspace.repository}`, 'show', id],
    accept: [0, 1],
  });
  return shown.exitCode === 0 ? { ref, id, ...parseShownCommit(shown.stdout) } : undefined;
}

/** Reads the header that `ostree show` prints before a commit's subject. */
export function parseShownCommit(text: string): Pick<Commit, 'parent' | 'version' | 'timestamp'> {
  const field = (name: string): string | undefined => new RegExp(`^${name}: +(.+)$`, 'm').exec(text)?.[1];
  const date = field('Date') ?? '1970-01-01 00:00:00 +0000';
  const [day, time, zone] = date.split(' ');
  return {
    parent: field('Parent'),
    version: field('Version') ?? '',
    timestamp: Date.parse(`${day}T${time}${zone}`) / 1000,
  };
}
