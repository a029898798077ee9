import { resolve } from 'node:path';
import { TreelineError } from '../host/errors.ts';
import type { Event } from '../host/events.ts';
import { isInstalled } from '../host/tools.ts';
import { knownNamesHint } from '../host/nearest.ts';
import type { Target } from '../model.ts';
import { targets } from '../model.ts';
import type { BuildOptions } from '../options.ts';
import type { ReproduceOptions } from '../reproduce/options.ts';
import type { ExplainedDifference, Reproduction } from '../reproduce/reproduce.ts';
import type { Replay } from '../replay.ts';
import { artifactOptions, readReplay } from '../replay.ts';
import type { Arguments } from './arguments.ts';
import type { Sources } from './build-options.ts';
import { readBuildOptions, readSignKeys } from './build-options.ts';

/** Every target where none is named, or the image of a published release. Throws 'usage'. */
export async function readReproduceOptions(sources: Sources): Promise<ReproduceOptions> {
  const { args, home } = sources;
  const named = args.value('against');
  const against = named === undefined ? undefined : await readReplay(resolve(named));
  const requests = await readBuildOptions({ ...sources, args: buildArgumentsOf(args, against) });
  const built = requests.map(({ request }) => request.target);
  return {
    home,
    requests: requests.map((request) => ({ ...request, ...artifactsOf(request, against) })),
    against,
    signKeys: against === undefined ? readSignKeys(sources) : undefined,
    update: against === undefined ? chooseUpdate(args.value('update'), built) : undefined,
    keep: args.has('keep'),
  };
}

/** As many as there are: all that the other one has, or all that this machine can make. */
const artifactsOf = (
  { flat, qcow2 }: BuildOptions,
  against: Replay | undefined,
): Pick<BuildOptions, 'flat' | 'qcow2'> =>
  against === undefined ? { flat, qcow2: qcow2 || isInstalled('qemu-img') } : artifactOptions(against);

/** The command line as one of a build; there `--keep` says how many releases stay. */
function buildArgumentsOf(args: Arguments, against: Replay | undefined): Arguments {
  const [, base, arch, target] = against?.manifest.ref.split('/') ?? [];
  const fixed: Readonly<Record<string, string | undefined>> = {
    base,
    arch,
    target,
    replay: against?.directory,
  };
  return {
    ...args,
    has: (name) => fixed[name] !== undefined || args.has(name),
    value: (name) => (name === 'keep' ? undefined : (fixed[name] ?? args.value(name))),
    values: (name) => {
      if (name !== 'target') return args.values(name);
      return target === undefined ? (args.has(name) ? args.values(name) : [...targets]) : [target];
    },
  };
}

/** Deltas of a container take less time, and are made in the same way. */
export function chooseUpdate(named: string | undefined, built: readonly Target[]): Target | undefined {
  if (named === 'none') return undefined;
  if (named === undefined) return built.find((target) => target !== 'vm') ?? built[0];
  const target = built.find((known) => known === named);
  if (target !== undefined) return target;
  throw new TreelineError('usage', `Cannot make an update for ${named}: that target is not built`, {
    hint: knownNamesHint(named, [...built, 'none']),
  });
}

/** Throws 'difference' where the two builds are not the same: which files, from which byte on. */
export function requireSame({ differences, files, kept }: Reproduction): void {
  if (differences.length === 0) return;
  const names = new Set(differences.map(({ path }) => path));
  throw new TreelineError(
    'difference',
    `Cannot reproduce the build: ${names.size} of ${files} files are not the same`,
    {
      output: differences.map(describeDifference).join('\n'),
      hint:
        kept.length === 0
          ? 'npm run reproduce -- --keep keeps both, for a closer look.'
          : `Both are kept: ${kept.join(' and ')}`,
    },
  );
}

const describeDifference = ({ path, what, where, report }: ExplainedDifference): string =>
  [
    `${path}: ${what}`,
    ...(where === undefined ? [] : [`  in ${where}`]),
    ...(report === undefined ? [] : [`  diffoscope: ${report}`]),
  ].join('\n');

/** What was the same. */
export function presentReproduction({ releases, files, bytes, kept }: Reproduction): Event {
  return {
    type: 'result',
    title: `Both builds are the same, bit for bit: ${files} files`,
    rows: [
      ...releases.map(({ manifest: { ref, version, commit } }) => ({
        label: `${ref} ${version}`,
        value: commit,
      })),
      { label: 'compared', value: '', bytes },
      ...kept.map((path) => ({ label: 'kept', value: path, path })),
    ],
    next: [],
  };
}
