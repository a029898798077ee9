import { join } from 'node:path';
import type { Event, ResultRow } from '../host/events.ts';
import { lockName } from '../lock-images.ts';
import type { Release } from '../model.ts';
import type { BuildOptions } from '../options.ts';
import type { Update } from '../pipeline.ts';

/** What a build made, where, how big, and what to try next. */
export function presentReleases(releases: readonly Release[]): Event {
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

/** What build-update made; it is told apart from "nothing changed" by the title. */
export function presentUpdate({ releases, deltas, changed }: Update, updates: string): Event {
  if (changed && deltas.length === 0) return presentReleases(releases);
  if (!changed) {
    const versions = releases.map(({ manifest }) => `${manifest.ref} is at ${manifest.version}`);
    return { type: 'result', title: `Nothing changed: ${versions.join(', ')}`, rows: [], next: [] };
  }
  const updated = releases.filter(({ manifest }) => deltas.some((delta) => delta.to === manifest.commit));
  return {
    type: 'result',
    title: updated.map(({ manifest }) => `${manifest.ref} ${manifest.version}`).join(', '),
    rows: [
      ...deltas.map((delta) => ({
        label: `delta ${delta.from === undefined ? 'from nothing' : `from ${delta.from.slice(0, 12)}`}`,
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
