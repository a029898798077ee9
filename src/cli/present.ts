import { join } from 'node:path';
import type { Event, ResultRow } from '../host/events.ts';
import { lockName } from '../lock-images.ts';
import type { Release } from '../model.ts';
import type { BuildOptions } from '../options.ts';
import type { WorkspaceKey } from '../ostree/workspace-keys.ts';
import type { Update } from '../pipeline.ts';

type ResultEvent = Extract<Event, { type: 'result' }>;

/** What a build made, where, how big, and what to try next. */
export function presentReleases(releases: readonly Release[]): ResultEvent {
  const targets = releases.map((release) => release.manifest.ref.split('/').at(-1));
  return {
    type: 'result',
    title: releases.map(({ manifest }) => `${manifest.ref} ${manifest.version}`).join(', '),
    rows: releases.flatMap(releaseRows),
    next: [
      ...(targets.includes('vm') ? ['npm run boot'] : []),
      ...(targets.some((target) => target !== 'vm') ? ['see docs/containers.md to start the template'] : []),
      'npm run build-update    (after a change, or when new packages appear)',
    ],
  };
}

/**
 * What build-update made; it is told apart from "nothing changed" by the title. Rows beside that: the signature of the index
 * was renewed, and is to be copied to where machines read it.
 */
export function presentUpdate(
  { releases, deltas, changed, signedUntil }: Update,
  updates: string,
): ResultEvent {
  const renewed =
    signedUntil === undefined
      ? []
      : [
          { label: 'signed anew', value: updates, path: updates },
          { label: 'valid until', value: new Date(signedUntil * 1000).toISOString() },
        ];
  if (changed && deltas.length === 0) {
    const event = presentReleases(releases);
    return { ...event, rows: [...event.rows, ...renewed] };
  }
  if (!changed) {
    const versions = releases.map(({ manifest }) => `${manifest.ref} is at ${manifest.version}`);
    return { type: 'result', title: `Nothing changed: ${versions.join(', ')}`, rows: renewed, next: [] };
  }
  const updated = releases.filter(({ manifest }) => deltas.some((delta) => delta.to.id === manifest.commit));
  return {
    type: 'result',
    title: updated.map(({ manifest }) => `${manifest.ref} ${manifest.version}`).join(', '),
    rows: [
      ...deltas.map((delta) => ({
        label: `delta ${delta.from === undefined ? 'from nothing' : `from ${delta.from.version}`}`,
        ...fileValue(join(updates, delta.path.split('/').at(-1)!), delta.bytes),
      })),
      { label: 'index', value: join(updates, 'index.json'), path: join(updates, 'index.json') },
      ...updated.flatMap(releaseRows),
    ],
    next: [
      'npm run serve',
      'treeline upgrade --url http://10.0.2.2:8000    (in the machine that npm run boot started)',
    ],
  };
}

/** The keys of the workspace, and what a change of them asks for. */
export function presentKeys(
  keys: readonly WorkspaceKey[],
  changed: 'rotate' | 'retire' | undefined,
): ResultEvent {
  const title = {
    rotate: 'A new key signs beside the old one',
    retire: 'The new key signs alone from now on',
    list: keys.length === 0 ? 'No keys yet: the first build makes one' : 'Keys of this workspace',
  }[changed ?? 'list'];
  const next = {
    rotate: [
      'npm run build-update    (its release carries the new key to the machines)',
      'npm run keys -- retire    (when all have it)',
    ],
    retire: ['npm run build-update    (its release trusts the new key only)'],
    list: [],
  }[changed ?? 'list'];
  const rows = keys.map(({ fingerprint, created, signs }) => ({
    label: signs ? 'signs' : 'not in use',
    value: `${fingerprint}, made ${new Date(created * 1000).toISOString().slice(0, 10)}`,
  }));
  return { type: 'result', title, rows, next };
}

/** Where a lock was written, and how it is used. */
export function presentLock(
  requests: readonly BuildOptions[],
  file: string,
  others: readonly string[],
): Event {
  return {
    type: 'result',
    title: `Locked ${requests.map(({ request }) => request.target).join(', ')}`,
    rows: [
      { label: 'lock', value: file, path: file },
      ...others.map((ref) => ({ label: 'as it was', value: ref })),
    ],
    next: requests.map((options) => `${buildCommand(options)} --lock ${file}`),
  };
}

/** What was vendored, and how it is used. */
export function presentVendored(
  requests: readonly BuildOptions[],
  directory: string,
  packages: number,
): Event {
  const lock = join(directory, lockName);
  return {
    type: 'result',
    title: `Vendored ${packages} packages for ${requests.map(({ request }) => request.target).join(', ')}`,
    rows: [
      { label: 'mirror', value: directory, path: directory },
      { label: 'lock', value: lock, path: lock },
    ],
    next: requests.map((options) => `${buildCommand(options)} --offline --mirror ${directory}`),
  };
}

/** What builds the same image again, as far as the command line decides it. */
function buildCommand({ request, asked }: BuildOptions): string {
  const words = [
    ...['--base', request.base],
    ...(asked.services ?? []).flatMap((name) => ['--service', name]),
    ...request.extraLayers.flatMap((path) => ['--overlay', path]),
  ];
  return `npm run build:${request.target} -- ${words.join(' ')}`;
}

function releaseRows({ directory, manifest }: Release): ResultRow[] {
  return [
    ...manifest.artifacts.map(({ file, kind, bytes }) => ({
      label: kind,
      ...fileValue(join(directory, file), bytes),
    })),
    {
      label: 'manifest',
      value: join(directory, 'manifest.json'),
      path: join(directory, 'manifest.json'),
    },
    { label: 'commit', value: manifest.commit },
  ];
}

const fileValue = (path: string, bytes: number): Omit<ResultRow, 'label'> => ({
  value: path,
  path,
  bytes,
});
