import { resolve } from 'node:path';
import type { CleanOptions, Cleaned } from '../clean/clean.ts';
import type { Thing } from '../clean/plan.ts';
import { TreelineError } from '../host/errors.ts';
import type { Event, ResultRow } from '../host/events.ts';
import { formatBytes } from '../host/reporter/units.ts';
import type { Workspace } from '../host/workspace.ts';
import type { Arguments } from './arguments.ts';
import { readChoices } from './choices.ts';
import type { WorkspaceSettings } from './settings.ts';

const defaultDays = 30;

/** `now`: seconds since 1970. Throws 'usage'. */
export async function readCleanOptions(
  args: Arguments,
  { settings, workspace, now }: { settings: WorkspaceSettings; workspace: Workspace; now: number },
): Promise<CleanOptions> {
  if (args.has('all') && args.has('days')) {
    throw new TreelineError('usage', 'Cannot use --all and --days together: --all asks for no age', {
      hint: 'Leave one of the two out.',
    });
  }
  const choices = await readChoices(workspace);
  return {
    days: parseDays(args.value('days')) ?? defaultDays,
    all: args.has('all'),
    now,
    dryRun: args.has('dry-run'),
    deltas: settings.deltas ?? 1,
    lockFiles: [
      ...choices.flatMap(({ asked }) => asked.lock ?? []),
      ...(settings.lock === undefined ? [] : [resolve(workspace.root, settings.lock)]),
    ],
  };
}

function parseDays(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,5}$/.test(text)) return Number(text);
  throw new TreelineError('usage', `Cannot use --days ${text}: it must be a whole number of days`, {
    hint: 'Give another number (0: all that is not needed), or leave --days out.',
  });
}

/** What went, by kind, and what stays. */
export function presentCleaned(
  { removed, stays, repository, archive, freed, left }: Cleaned,
  { dryRun, state }: { dryRun: boolean; state: string },
): Event {
  const nothing = freed === 0 && removed.length === 0;
  const kinds = [...new Set([...removed, ...stays].map(({ kind }) => kind))].toSorted();
  const objects = [
    { label: 'repository', value: 'what only these needed', bytes: repository.bytes },
    { label: 'served copy', value: 'what the repository lost', bytes: archive.bytes },
  ];
  return {
    type: 'result',
    title: nothing ? 'Nothing to remove' : `${dryRun ? 'Would free' : 'Freed'} ${formatBytes(freed)}`,
    rows: [
      ...kinds.map((kind) => {
        const [gone, kept] = [removed, stays].map((things) => things.filter((thing) => thing.kind === kind));
        return kindRow(kind, gone!, kept!.length);
      }),
      ...objects.filter(({ bytes }) => bytes > 0),
      { label: 'left', value: state, path: state, bytes: left },
    ],
    next: [],
  };
}

function kindRow(label: string, gone: readonly Thing[], kept: number): ResultRow {
  const stay = `${kept} ${kept === 1 ? 'stays' : 'stay'}`;
  const bytes = gone.reduce((sum, thing) => sum + thing.bytes, 0);
  const value = gone.length === 0 ? stay : `${gone.length} of ${gone.length + kept}`;
  return { label, value, ...(bytes === 0 ? {} : { bytes }) };
}
