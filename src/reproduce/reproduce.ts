import { join, relative } from 'node:path';
import { remove, writeFile } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import { openWorkspace } from '../host/workspace.ts';
import type { Release } from '../model.ts';
import { listReleases, releasesOf } from '../release/releases.ts';
import type { Replay } from '../replay.ts';
import type { Comparison, Difference, Rules } from './compare.ts';
import { compareDirectories } from './compare.ts';
import { explainDifference } from './diffoscope.ts';
import type { Elsewhere } from './elsewhere.ts';
import { openElsewhere } from './elsewhere.ts';
import { fillWorkspace } from './fill-workspace.ts';
import { openHere } from './here.ts';
import { locate } from './locate.ts';
import type { ReproduceOptions } from './options.ts';
import { compareFacts, probe, whySame } from './probe.ts';
import { build, collect, rehearse, update } from './steps.ts';
import type { Surroundings } from './surroundings.ts';

/** What came of two builds. */
export interface Reproduction extends Comparison {
  differences: readonly ExplainedDifference[];
  /** Those that were built here. */
  releases: readonly Release[];
  /** Where both are, if they are kept. */
  kept: readonly string[];
}

export interface ExplainedDifference extends Difference {
  /** Where in a disk image. */
  where?: string;
  /** A file with what diffoscope says. */
  report?: string;
}

/**
 * Builds everything twice, here from nothing, and elsewhere (see `openElsewhere`) with what a build of another tree left, and
 * compares all that is published. What cannot be another one on this machine is told as a warning. Throws what a build
 * ends with; differences are no error.
 */
export async function reproduce(host: Host, options: ReproduceOptions): Promise<Reproduction> {
  const scratch = join(host.workspace.state, 'reproduce');
  await remove(scratch);
  try {
    const changed = join(scratch, 'layers/changed');
    await writeFile(join(changed, 'rootfs/etc/treeline-reproduce'), 'another file\n');
    const here = openHere(options.home, scratch);
    await fillWorkspace(host, { from: host.workspace.root, to: here.workspace });
    await build(host, here, options);
    await update(host, here, { options, changed });

    const layers = [...new Set(options.requests.flatMap(({ request }) => request.extraLayers)), changed];
    const elsewhere = await host.stage('elsewhere', () =>
      openElsewhere(host, { home: options.home, scratch, layers, from: here.workspace }),
    );
    await tellFacts(host, here, elsewhere);
    const there = withLayersOf(options, elsewhere);
    await rehearse(host, elsewhere, { options: there, changed: elsewhere.layer(changed) });
    await build(host, elsewhere, { ...there, requests: there.requests.toReversed() });
    await update(host, elsewhere, { options: there, changed: elsewhere.layer(changed) });
    const outputs = {
      here: openWorkspace(here.workspace).output,
      elsewhere: join(elsewhere.exchange, 'out'),
    };
    await collect(host, elsewhere, outputs.elsewhere);

    return await compareOutputs(host, { outputs, rules, options, here });
  } finally {
    if (!options.keep) await remove(scratch);
  }
}

/**
 * Builds a published release again, in a fresh workspace, from its own lock, with its public keys and signatures, and
 * compares. Throws what the build ends with: 'difference' where another commit comes out.
 */
export async function reproduceRelease(
  host: Host,
  options: ReproduceOptions,
  against: Replay,
): Promise<Reproduction> {
  const scratch = join(host.workspace.state, 'reproduce');
  await remove(scratch);
  try {
    const here = openHere(options.home, scratch);
    await fillWorkspace(host, { from: host.workspace.root, to: here.workspace });
    await build(host, here, options);
    const { ref, version } = against.manifest;
    const built = join(releasesOf(openWorkspace(here.workspace), ref), version);
    return await compareOutputs(host, {
      outputs: { here: built, elsewhere: against.directory },
      rules: publishedRules,
      options,
      here,
    });
  } finally {
    if (!options.keep) await remove(scratch);
  }
}

/** What came from a web server has modes of its own; `npm run prove` leaves a report. */
const publishedRules: Rules = {
  skip: (path) => path === 'proof.json',
  nameOnly: () => false,
  modes: false,
};

/** The index's signature tells when it was made and how long it is good; its name is made of the index. */
const rules: Rules = {
  skip: (path) => path === '.staging',
  nameOnly: (path) => /^updates\/index-\w+\.sig$/.test(path),
  modes: true,
};

async function compareOutputs(
  host: Host,
  parts: {
    outputs: { here: string; elsewhere: string };
    rules: Rules;
    options: ReproduceOptions;
    here: Surroundings;
  },
): Promise<Reproduction> {
  const { outputs, rules: applied, options, here } = parts;
  const comparison = await host.stage(
    'compare',
    () => compareDirectories(outputs.here, outputs.elsewhere, applied),
    ({ differences: { length }, files }) => ({
      detail: `${files} files, ${length === 0 ? 'no difference' : length === 1 ? '1 difference' : `${length} differences`}`,
    }),
  );
  return {
    ...comparison,
    differences: await explain(host, comparison.differences, outputs),
    releases: await listReleases(openWorkspace(here.workspace)),
    kept: options.keep ? [outputs.here, outputs.elsewhere] : [],
  };
}

/** The same requests with the copies of layers and checkout that are there. */
function withLayersOf(options: ReproduceOptions, elsewhere: Elsewhere): ReproduceOptions {
  const there = (path: string): string =>
    path.startsWith(`${options.home}/`) ? join(elsewhere.checkout, relative(options.home, path)) : path;
  const requests = options.requests.map((one) => ({
    ...one,
    layout: there(one.layout),
    // Whatever is needed, the first build has fetched.
    packages: { ...one.packages, offline: true, refresh: false },
    request: {
      ...one.request,
      overlays: there(one.request.overlays),
      extraLayers: one.request.extraLayers.map(elsewhere.layer),
    },
  }));
  return { ...options, requests };
}

async function tellFacts(host: Host, here: Surroundings, elsewhere: Surroundings): Promise<void> {
  const { varied, same } = compareFacts(await probe(host, here), await probe(host, elsewhere));
  host.emit({ type: 'note', text: `Other elsewhere: ${[...varied, 'state of the caches'].join(', ')}` });
  for (const name of same) {
    host.emit({ type: 'warning', text: `Not another one elsewhere: ${name} (${whySame(name)})` });
  }
}

async function explain(
  host: Host,
  differences: readonly Difference[],
  outputs: { here: string; elsewhere: string },
): Promise<ExplainedDifference[]> {
  const explained: ExplainedDifference[] = [];
  for (const [index, difference] of differences.entries()) {
    const { path, offset } = difference;
    if (offset === undefined) {
      explained.push(difference);
      continue;
    }
    const [here, elsewhere] = [join(outputs.here, path), join(outputs.elsewhere, path)];
    const where = await locate(host, here, offset);
    const report = await explainDifference(host, { here, elsewhere, number: index + 1 });
    explained.push({
      ...difference,
      ...(where === undefined ? {} : { where }),
      ...(report === undefined ? {} : { report }),
    });
  }
  return explained;
}
