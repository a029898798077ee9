import { join, resolve } from 'node:path';
import { clean } from './clean/clean.ts';
import type { Arguments } from './cli/arguments.ts';
import { helpText, parseArguments } from './cli/arguments.ts';
import type { Sources } from './cli/build-options.ts';
import {
  parseCount,
  parsePort,
  readBuildOptions,
  readPublishOptions,
  readSignKeys,
  readUpdateOptions,
} from './cli/build-options.ts';
import { recordChoices } from './cli/choices.ts';
import { presentCleaned, readCleanOptions } from './cli/clean.ts';
import { explainingDamage } from './cli/damaged-repository.ts';
import { presentKeys, presentLock, presentReleases, presentUpdate, presentVendored } from './cli/present.ts';
import { presentProofs, readProveOptions, requireProved } from './cli/prove.ts';
import { presentReproduction, readReproduceOptions, requireSame } from './cli/reproduce.ts';
import { readSettings } from './cli/settings.ts';
import { bootImage } from './guest/boot.ts';
import { allWorkSettled } from './host/under-way.ts';
import { TreelineError } from './host/errors.ts';
import { listNames, pathExists, remove } from './host/files.ts';
import type { Host } from './host/host.ts';
import { createHost } from './host/host.ts';
import { namingFullDisk } from './host/full-disk.ts';
import { takeLock } from './host/lock.ts';
import { openLog, silentLog } from './host/log.ts';
import { chooseMode, createReporter, errorAsJson, formatError } from './host/reporter/reporter.ts';
import { asTreelineError } from './host/system-error.ts';
import { requireTools } from './host/tools.ts';
import { runInUserNamespace } from './host/user-namespace.ts';
import { openWorkspace, prepareWorkspace } from './host/workspace.ts';
import { requireOwnWorkspace } from './host/workspace-owner.ts';
import { lockImages, vendorImages } from './lock-images.ts';
import type { BuildOptions } from './options.ts';
import { build, buildUpdate } from './pipeline.ts';
import { prove } from './prove/prove.ts';
import { reproduce, reproduceRelease } from './reproduce/reproduce.ts';
import { setUp } from './setup.ts';
import { explainRecipe, readRecipe, recipeAsJson } from './recipe/index.ts';
import { withUpdateUrl } from './recipe/override.ts';
import { listKeys, retireKeys, rotateKeys } from './release/key-rotation.ts';
import { listReleases } from './release/releases.ts';
import { fillArchive, openArchive } from './release/archive-repository.ts';
import { serveDirectory } from './release/serve.ts';
import { updatesDirectory } from './release/update-index.ts';

/** How many logs of earlier commands are kept. */
const keptLogs = 20;

/** Commands that read or write files of many owners: only root may, if only of a user namespace. And their names as verbs. */
const ownersMatter: Readonly<Record<string, string>> = {
  build: 'build',
  'build-update': 'build',
  lock: 'lock',
  vendor: 'vendor',
  keys: 'use keys',
  serve: 'serve',
  reproduce: 'build',
  clean: 'clean',
};

/**
 * Runs one command of the user's. `argv`: command and options; `home`: the checkout. Resolves to the exit code:
 * 0 done, 1 failed, 2 wrong usage, 3 nothing to prove, 130 stopped by the user.
 */
export async function main(argv: readonly string[], home: string): Promise<number> {
  // What is built must not depend on the caller's.
  process.umask(0o022);
  // Whoever reads our output may stop reading (| head); that ends the output, not the work.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  const json = argv.includes('--json');
  let logPath: string | undefined;
  try {
    const args = parseArguments(argv, process.env);
    if (args.has('help')) {
      process.stdout.write(helpText(args.command));
      return 0;
    }
    const workspace = openWorkspace(args.value('workspace') ?? home, args.value('output'));
    const settings = await readSettings(workspace.settingsFile);
    const sources: Sources = { args, settings, workspace, home, environment: process.env };
    const building = ['build', 'build-update', 'lock', 'vendor', 'setup'].includes(args.command);
    const asOwner = ownersMatter[args.command];
    if (asOwner !== undefined) {
      requireOwnWorkspace(asOwner, workspace);
      if (process.getuid?.() !== 0) return await runInUserNamespace(asOwner);
    }
    const stop = stopOnSignals();
    const logged = building || ['prove', 'reproduce'].includes(args.command);
    if (logged) prepareWorkspace(workspace);
    const log = logged ? openLog(join(workspace.logs, logName(args.command))) : silentLog;
    if (logged) logPath = log.path;
    const mode = chooseMode({ json, quiet: args.has('quiet'), isTTY: process.stdout.isTTY });
    const reporter = createReporter({ mode, stream: process.stdout });
    const record = (event: object): void => log.line(JSON.stringify(event));
    const host = createHost({ workspace, log, signal: stop.signal, listeners: [record, reporter.listener] });
    try {
      return await run(host, sources);
    } catch (error) {
      if (error instanceof Error) log.text(error.stack ?? error.message);
      throw stop.signal.aborted ? stop.signal.reason : error;
    } finally {
      reporter.close();
      stop.forget();
    }
  } catch (cause) {
    const error = asTreelineError(cause);
    const code = exitCode(error);
    // What is wrong with a command line stands in no log.
    const shownLog = code === 2 ? undefined : logPath;
    if (json) process.stdout.write(`${errorAsJson(error, shownLog)}\n`);
    else process.stderr.write(`${formatError(error, shownLog)}\n`);
    return code;
  }
}

function run(host: Host, sources: Sources): Promise<number> {
  switch (sources.args.command) {
    case 'build':
      return runBuild(host, sources);
    case 'build-update':
      return runBuildUpdate(host, sources);
    case 'lock':
      return runLock(host, sources);
    case 'vendor':
      return runVendor(host, sources);
    case 'setup':
      return runSetup(host, sources);
    case 'explain':
      return runExplain(sources);
    case 'boot':
      return runBoot(host, sources.args);
    case 'prove':
      return runProve(host, sources);
    case 'reproduce':
      return runReproduce(host, sources);
    case 'keys':
      return runKeys(host, sources);
    case 'serve':
      return runServe(host, sources.args);
    case 'clean':
      return runClean(host, sources);
  }
}

async function runBuild(host: Host, sources: Sources): Promise<number> {
  const requests = await readBuildOptions(sources);
  await holdingWorkspace(host, { doing: 'Building', requests }, async (building) => {
    const releases = await build(building, requests, readSignKeys(sources));
    await recordAll(host, requests, releases);
    host.emit(presentReleases(releases));
  });
  return 0;
}

async function runBuildUpdate(host: Host, sources: Sources): Promise<number> {
  const requests = await readUpdateOptions(sources);
  const publishing = readPublishOptions(sources);
  await holdingWorkspace(host, { doing: 'Building', requests }, async (building) => {
    const update = await buildUpdate(building, requests, publishing);
    if (update.changed) await recordAll(host, requests, update.releases);
    host.emit(presentUpdate(update, updatesDirectory(host.workspace)));
  });
  return 0;
}

async function runLock(host: Host, sources: Sources): Promise<number> {
  const asked = await readResolveOptions(sources);
  const file = lockFile(host, sources, asked);
  // An image that was built from a lock is resolved anew.
  const requests = asked.map((options) => ({
    ...options,
    packages: { ...options.packages, lock: undefined },
  }));
  await holdingWorkspace(host, { doing: 'Locking', requests }, async (resolving) => {
    const others = await lockImages(resolving, requests, file);
    host.emit(presentLock(requests, file, others));
  });
  return 0;
}

/** The file that is named, else the one that the images are built from, else the usual one. */
function lockFile(host: Host, { args }: Sources, requests: readonly BuildOptions[]): string {
  if (args.operand !== undefined) return resolve(args.operand);
  const used = [...new Set(requests.flatMap(({ packages }) => packages.lock ?? []))];
  if (used.length < 2) return used[0] ?? join(host.workspace.root, 'treeline.lock.json');
  throw new TreelineError(
    'usage',
    `Cannot lock: these images are built from several locks, ${used.join(', ')}`,
    {
      hint: 'Name images with --target, or the file to write: npm run lock -- FILE',
    },
  );
}

async function runVendor(host: Host, sources: Sources): Promise<number> {
  const requests = await readResolveOptions(sources);
  const directory = resolve(sources.args.operand!);
  await holdingWorkspace(host, { doing: 'Vendoring', requests }, async (resolving) => {
    const { packages } = await vendorImages(resolving, requests, directory);
    host.emit(presentVendored(requests, directory, packages));
  });
  return 0;
}

/** Images that --target names, or else those that were built before. */
const readResolveOptions = (sources: Sources): Promise<BuildOptions[]> =>
  sources.args.has('target') ? readBuildOptions(sources) : readUpdateOptions(sources);

async function recordAll(
  host: Host,
  requests: readonly BuildOptions[],
  releases: readonly { manifest: { ref: string } }[],
): Promise<void> {
  for (const [index, { manifest }] of releases.entries()) {
    await recordChoices(host.workspace, manifest.ref, requests[index]!);
  }
}

async function runSetup(host: Host, { args, home }: Sources): Promise<number> {
  await setUp(host, { minimal: args.has('minimal'), overlays: join(home, 'overlays') });
  return 0;
}

async function runExplain(sources: Sources): Promise<number> {
  for (const options of await readBuildOptions(sources)) {
    const recipe = withUpdateUrl(await readRecipe(options.request), options.updateUrl);
    const text = sources.args.has('json')
      ? JSON.stringify(recipeAsJson(recipe), null, 2)
      : `Recipe of ${describeImage(options)}\n\n${explainRecipe(recipe)}`;
    process.stdout.write(`${text}\n`);
  }
  return 0;
}

async function runBoot(host: Host, args: Arguments): Promise<number> {
  const image = args.value('image') ?? (await newestImage(host));
  return bootImage(host, {
    image,
    memory: parseCount('memory', args.value('memory')),
    disk: args.value('disk'),
    uefi: args.has('uefi'),
    port: parsePort(args.value('port')),
    persist: args.has('persist'),
    print: args.has('print'),
  });
}

async function runKeys(host: Host, sources: Sources): Promise<number> {
  const { args } = sources;
  const step = parseKeyStep(args.operand);
  const named = readSignKeys(sources);
  if (named !== undefined) {
    throw new TreelineError(
      'usage',
      `Cannot list or change keys: treeline.yaml signs with ${named.names.join(', ')}`,
      {
        hint: 'They are exchanged there: name old and new, publish a release, then name the new one alone. See docs/keys.md.',
      },
    );
  }
  const { workspace } = host;
  requireTools(['build']);
  prepareWorkspace(workspace);
  const farewell = { program: 'gpgconf', args: ['--homedir', workspace.keys, '--kill', 'gpg-agent'] };
  const lock = await takeLock(workspace.lockFile, 'change keys', farewell);
  try {
    await removeAll([workspace.temporary]);
    const changes = {
      rotate: () => rotateKeys(host),
      retire: () => retireKeys(host, { force: args.has('force') }),
    };
    const keys = await (step === undefined ? listKeys(host) : changes[step]());
    if (step === 'retire') {
      const text = 'A machine that has not taken a release signed by both keys cannot be updated any more';
      host.emit({ type: 'warning', text });
    }
    host.emit(presentKeys(keys, step));
  } finally {
    await removeAll([workspace.temporary]).catch((error: Error) => host.log.line(error.message));
    await lock.release();
  }
  return 0;
}

function parseKeyStep(word: string | undefined): 'rotate' | 'retire' | undefined {
  if (word === undefined || word === 'rotate' || word === 'retire') return word;
  throw new TreelineError('usage', `Cannot ${word} keys: there is no such step`, {
    hint: 'npm run keys lists them; npm run keys -- rotate makes a new one; npm run keys -- retire ends the use of the old one.',
  });
}

async function newestImage(host: Host): Promise<string> {
  for (const { directory, manifest } of await listReleases(host.workspace)) {
    const image = manifest.artifacts.find((artifact) => artifact.kind === 'disk-image');
    if (image !== undefined) return join(directory, image.file);
  }
  throw new TreelineError('usage', `Cannot boot: ${host.workspace.output} holds no disk image`, {
    hint: 'Build one first: npm run build:vm',
  });
}

async function runProve(host: Host, { args, home }: Sources): Promise<number> {
  const options = readProveOptions(args, home);
  const lock = await takeLock(host.workspace.lockFile, 'prove');
  try {
    const proofs = await prove(host, options);
    requireProved(proofs);
    host.emit(presentProofs(proofs));
    return proofs.some(({ report }) => report.result === 'nothing') ? 3 : 0;
  } finally {
    await lock.release();
  }
}

async function runReproduce(host: Host, sources: Sources): Promise<number> {
  const options = await readReproduceOptions(sources);
  requireTools(['build', 'vm', 'container']);
  const lock = await takeLock(host.workspace.lockFile, 'reproduce');
  try {
    const { against } = options;
    const reproduction = await (against === undefined
      ? reproduce(host, options)
      : reproduceRelease(host, options, against));
    requireSame(reproduction);
    host.emit(presentReproduction(reproduction));
    return 0;
  } finally {
    await lock.release();
  }
}

async function runClean(host: Host, sources: Sources): Promise<number> {
  const { workspace } = host;
  const options = await readCleanOptions(sources.args, { ...sources, now: Date.now() / 1000 });
  if (!(await pathExists(workspace.state))) {
    throw new TreelineError('usage', `Cannot clean ${workspace.root}: nothing was built there`, {
      hint: 'Name the workspace with --workspace DIR.',
    });
  }
  requireTools(['build']);
  const lock = await takeLock(workspace.lockFile, 'clean');
  try {
    const cleaned = await clean(host, options);
    host.emit(presentCleaned(cleaned, { dryRun: options.dryRun, state: workspace.state }));
  } catch (error) {
    throw explainingDamage(error, workspace);
  } finally {
    await lock.release();
  }
  return 0;
}

async function runServe(host: Host, args: Arguments): Promise<number> {
  const { output } = host.workspace;
  const repository = await openArchive(host);
  const server = await serveDirectory({
    mounts: { '/': output, ...(repository === undefined ? {} : { '/repo/': repository }) },
    port: parsePort(args.value('port')) ?? 8000,
    address: args.value('address') ?? '127.0.0.1',
  });
  host.emit({
    type: 'result',
    title: `Serving ${output} at ${server.url} (Ctrl-C ends it)`,
    rows: [],
    next: [`treeline upgrade --url ${server.guestUrl}    (in the machine that npm run boot started)`],
  });
  const stopped = new Promise<void>((done) =>
    host.signal.addEventListener('abort', () => done(), { once: true }),
  );
  try {
    if (repository !== undefined) await fillArchive(host, repository);
    await stopped;
  } catch (error) {
    if (!host.signal.aborted) throw error;
  } finally {
    await server.close();
  }
  return 0;
}

/** Takes the workspace, clears what an interrupted build left, says what will be built, and builds. */
async function holdingWorkspace(
  host: Host,
  { doing, requests }: { doing: 'Building' | 'Locking' | 'Vendoring'; requests: readonly BuildOptions[] },
  work: (building: Host) => Promise<void>,
): Promise<void> {
  const { workspace, log } = host;
  requireTools([
    'build',
    ...(requests.some(({ request }) => request.target === 'vm') ? (['vm'] as const) : []),
    ...(requests.some(({ request }) => request.target !== 'vm') ? (['container'] as const) : []),
  ]);
  // gpg starts an agent, which would outlive a build that was killed.
  const farewell = { program: 'gpgconf', args: ['--homedir', workspace.keys, '--kill', 'gpg-agent'] };
  const verb = { Building: 'build', Locking: 'lock', Vendoring: 'vendor' }[doing];
  const lock = await takeLock(workspace.lockFile, verb, farewell);
  const unfinished = [workspace.temporary, join(workspace.output, '.staging')];
  const failed = new AbortController();
  const signal = AbortSignal.any([host.signal, failed.signal]);
  try {
    await removeAll(unfinished);
    for (const options of requests) host.emit({ type: 'note', text: `${doing} ${describeImage(options)}` });
    await work(createHost({ workspace, log, signal, listeners: [host.emit] }));
    await removeOldLogs(workspace.logs);
  } catch (error) {
    // What else the build was doing at that time must not write on while its files are removed.
    failed.abort();
    await allWorkSettled();
    throw explainingDamage(namingFullDisk(error, [workspace.state, workspace.output]), workspace);
  } finally {
    // What cannot be removed now is removed by the next build.
    await removeAll(unfinished).catch((error: Error) => log.line(error.message));
    await lock.release();
  }
}

/** Which image this is, and who chose its base. */
function describeImage({ request, baseReason }: BuildOptions): string {
  const { target, base, services, extraLayers } = request;
  const named = services.length === 0 ? 'no services' : `services ${services.join(', ')}`;
  const own = extraLayers.map((path) => `, overlay ${path}`).join('');
  return `target ${target} on base ${base} (${baseReason}) with ${named}${own}`;
}

/** Removes directories into which something may still be writing its last. */
async function removeAll(directories: readonly string[]): Promise<void> {
  const retry = { maxRetries: 10, retryDelay: 20 };
  await Promise.all(directories.map((directory) => remove(directory, retry)));
}

async function removeOldLogs(logs: string): Promise<void> {
  const names = await listNames(logs);
  for (const name of names.slice(0, Math.max(0, names.length - keptLogs))) await remove(join(logs, name));
}

/** `2026-01-31T12-30-00.123-build.log`: sorts by time. */
function logName(command: string): string {
  return `${new Date().toISOString().replaceAll(':', '-').replace('Z', '')}-${command}.log`;
}

/** Ctrl-C and its kin end the command in order; the same one again ends it at once. */
function stopOnSignals(): { signal: AbortSignal; forget: () => void } {
  const controller = new AbortController();
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  const seen = new Set<NodeJS.Signals>();
  const stop = (name: NodeJS.Signals): void => {
    if (seen.has(name)) process.exit(130);
    seen.add(name);
    controller.abort(
      new TreelineError('cancelled', 'Stopped before the end', {
        hint: 'Nothing that was published before has changed. The next build continues from what is in the cache.',
      }),
    );
  };
  for (const name of signals) process.on(name, stop);
  return {
    signal: controller.signal,
    forget: () => {
      for (const name of signals) process.off(name, stop);
    },
  };
}

function exitCode(error: unknown): number {
  if (!(error instanceof TreelineError)) return 1;
  return error.code === 'usage' ? 2 : error.code === 'cancelled' ? 130 : 1;
}
