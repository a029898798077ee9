import { join } from 'node:path';
import { listNames, measure } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import type { StoredRef } from '../ostree/prune.ts';
import type { RepositoryContent } from './commits.ts';
import type { Needs } from './needs.ts';
import { answersALock } from './needs.ts';
import type { Kind, Thing } from './plan.ts';

/** What `npm run serve` makes for clients that pull; its time is that of the last call. */
export const archiveOf = ({ workspace }: Host): string => join(workspace.state, 'archive');

/** The files in it say which commit came out of what. */
export const memoryOf = ({ workspace }: Host): string => join(workspace.cache, 'commits');

/** Directories whose content only a running command needs. */
const unfinished = ({ workspace }: Host): string[] => [
  workspace.temporary,
  join(workspace.state, 'prove'),
  join(workspace.output, '.staging'),
];

/** Every file and directory below `.treeline` that could be removed. Nothing of keys, choices and history is among them. */
export async function listFiles(host: Host, needs: Needs): Promise<Thing[]> {
  const { cache, logs } = host.workspace;
  const things: Thing[] = [];
  const add = async (kind: Kind, path: string, isNeeded: boolean | Promise<boolean>): Promise<void> => {
    const { bytes, written } = await measure(path);
    if (written === 0) return;
    // Whoever holds the workspace's lock is the one who could need unfinished work.
    const lastUsed = kind === 'unfinished work' ? 0 : written;
    things.push({ kind, name: path, bytes, lastUsed, needed: await isNeeded });
  };
  const each = async (
    kind: Kind,
    directory: string,
    isNeeded: (name: string) => boolean | Promise<boolean>,
  ): Promise<void> => {
    for (const name of await listNames(directory)) await add(kind, join(directory, name), isNeeded(name));
  };
  for (const room of await listNames(cache)) {
    const directory = join(cache, room);
    if (room === 'packages') await each('packages', directory, (name) => needs.packages.has(stem(name)));
    else if (room === 'commits') await each('other', directory, (name) => needs.inputs.has(name));
    else if (room === 'inputs') await each('other', directory, (name) => needs.images.has(name));
    else if (room === 'deltas') await each('deltas', directory, () => false);
    else if (room === 'apt' || room === 'apk') {
      await each('package lists', directory, (name) => listsNeeded(join(directory, name), needs));
    } else await each('other', directory, () => false);
  }
  await each('logs', logs, () => false);
  await add('served copy', archiveOf(host), false);
  for (const path of unfinished(host)) await each('unfinished work', path, () => false);
  return things;
}

/** The refs that could be removed. One whose commit is missing is of no use. */
export function listRefs({ cache, stored }: RepositoryContent, needs: Needs): Thing[] {
  const present = new Set(stored.map(({ id }) => id));
  return cache.map((ref) => {
    const name = refOf(ref);
    const whole = present.has(ref.commit);
    const needed = whole && needs.refs.has(name);
    return { kind: kindOfRef(name), name, bytes: 0, lastUsed: whole ? ref.used : 0, needed };
  });
}

/** A ref as it is written: `treeline/debian-12/x86_64/vm`. */
export const refOf = ({ name }: StoredRef): string => name.replace(/^heads\//, '');

const kindOfRef = (ref: string): Kind =>
  ref.startsWith('cache/package/')
    ? 'unpacked packages'
    : ref.startsWith('cache/merged/')
      ? 'merges'
      : 'other';

/** `<checksum>.deb`, `<checksum>-<setuid>.apk`. */
const stem = (name: string): string => name.replace(/(-[0-9a-f]{8})?\.(deb|apk)$/, '');

async function listsNeeded(directory: string, needs: Needs): Promise<boolean> {
  const answers = join(directory, 'locks');
  return answersALock(
    (await listNames(answers)).map((name) => join(answers, name)),
    needs,
  );
}
