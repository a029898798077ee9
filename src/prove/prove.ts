import { join } from 'node:path';
import { TreelineError } from '../host/errors.ts';
import { remove, temporaryDirectory } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import { withinScope } from '../host/host.ts';
import { openLog } from '../host/log.ts';
import { asTreelineError } from '../host/system-error.ts';
import type { Manifest, Release, Target } from '../model.ts';
import { listReleases } from '../release/releases.ts';
import { readIndex } from '../release/update-index.ts';
import { removeSystem } from './cleanup.ts';
import { GuestConsole } from './console.ts';
import type { Ground } from './ground.ts';
import { checkGround, openGround } from './ground.ts';
import type { ProveOptions } from './options.ts';
import type { ProofPlan, Selection } from './plan.ts';
import { planProofs } from './plan.ts';
import type { ProofReport, WayFailure, WayReport } from './report.ts';
import { makeReport, proofFile, stepTimes, writeReport } from './report.ts';
import { goThere } from './way.ts';

/** A plan and what came of it. */
export interface Proof {
  plan: ProofPlan;
  report: ProofReport;
}

/**
 * Boots each release that machines may have, upgrades it over HTTP from what is in the output directory, starts the
 * new one, rolls back, and starts the old one again. All ways are tried, also after one has failed; each image's report
 * is written beside its newest release. Throws TreelineError: 'usage' where there is no release, 'update' where the index
 * does not offer the newest one, 'host' where guests of a target cannot run here. The consoles' logs go beside the host's.
 */
export async function prove(host: Host, options: ProveOptions): Promise<Proof[]> {
  const { workspace } = host;
  const plans = planProofs(await listReleases(workspace), {
    index: await readIndex(workspace),
    selection: options.selection,
  });
  requireReleases(plans, { output: workspace.output, selection: options.selection });
  // An earlier report must not stand for this run, however it ends.
  for (const plan of plans) await remove(proofFile(plan));
  // Before anything takes minutes.
  for (const { target, ref, from } of plans) if (from.length > 0) requireGround(target, ref);
  const proofs: Proof[] = [];
  try {
    // What one left that was killed.
    await removeSystem(host, scratchOf(host));
    for (const plan of plans) {
      const report = await provePlan(host, plan, options);
      await writeReport(plan, report);
      proofs.push({ plan, report });
    }
  } finally {
    await removeSystem(host, scratchOf(host));
  }
  return proofs;
}

/** What cannot be tried must not count as proved. */
function requireGround(target: Target, ref: string): void {
  try {
    checkGround(target);
  } catch (cause) {
    if (!(cause instanceof TreelineError)) throw cause;
    throw new TreelineError('host', `Cannot prove ${ref} here: ${cause.message}`, {
      hint: `${cause.hint ?? ''} To leave it out, name the targets that shall be proved with --target.`.trim(),
      cause,
    });
  }
}

async function provePlan(host: Host, plan: ProofPlan, options: ProveOptions): Promise<ProofReport> {
  const time = new Date();
  if (plan.from.length === 0) return makeReport(plan, { time, ways: [] });
  const ground = await openGround(host, plan.target, options);
  try {
    const ways: WayReport[] = [];
    for (const from of plan.from) ways.push(await proveWay(host, { ground, plan, from, options }));
    return makeReport(plan, { time, guest: ground.facts, ways });
  } finally {
    await ground.close();
  }
}

async function proveWay(
  parent: Host,
  parts: { ground: Ground; plan: ProofPlan; from: Release; options: ProveOptions },
): Promise<WayReport> {
  const { ground, plan, from, options } = parts;
  const { version, commit } = from.manifest;
  const host = withinScope(parent, `${plan.target} ${version}`);
  const consoleLog = consoleLogBeside(host.log.path, from.manifest);
  const log = openLog(consoleLog);
  const console = new GuestConsole(log);
  const scratch = await temporaryDirectory(scratchOf(host), plan.target);
  ground.takeDownloads();
  const report = (result: WayReport['result'], failure?: WayFailure): WayReport => ({
    from: { version, commit },
    result,
    steps: stepTimes(host.times),
    downloads: ground.takeDownloads(),
    ...(failure === undefined ? {} : { failure }),
  });
  let step = 'prepare';
  const following = withStageNames(host, (name) => {
    step = name;
  });
  try {
    const guest = await following.stage('prepare', () =>
      ground.prepare(following, { release: from, console, scratch }),
    );
    try {
      await goThere(guest, {
        host: following,
        from: from.manifest,
        to: plan.newest.manifest,
        timeout: options.timeout,
      });
    } finally {
      await guest.remove();
    }
    return report('proved');
  } catch (cause) {
    host.signal.throwIfAborted();
    const error = asTreelineError(cause);
    if (!(error instanceof TreelineError)) throw error;
    const failure = { step, reason: error.message, console: console.tail, consoleLog };
    return report('failed', error.output === undefined ? failure : { ...failure, output: error.output });
  } finally {
    log.close();
    await removeSystem(host, scratch);
  }
}

/** A place of its own: what a container leaves in it may be immutable, which stops others who want to empty theirs. */
const scratchOf = ({ workspace }: Host): string => join(workspace.state, 'prove');

/** `…-prove.log` → `…-prove-debian-12-x86_64-vm-20261116.0.log`: kept as long as the command's own log. */
const consoleLogBeside = (path: string, { ref, version }: Manifest): string =>
  `${path.replace(/\.log$/, '')}-${ref.split('/').slice(1).join('-')}-${version}.log`;

const withStageNames = (host: Host, tell: (name: string) => void): Host => ({
  ...host,
  stage: (name, work, outcome) => {
    tell(name);
    return host.stage(name, work, outcome);
  },
});

/** Throws 'usage' where there is nothing, or nothing for a target that was named. */
function requireReleases(
  plans: readonly ProofPlan[],
  { output, selection }: { output: string; selection: Selection },
): void {
  const absent = selection.targets.filter((target) => plans.every((plan) => plan.target !== target));
  if (plans.length > 0 && absent.length === 0) return;
  const wanted = absent.length === 0 ? '' : ` for ${absent.join(', ')}`;
  const ofBase = selection.base === undefined ? '' : ` on base ${selection.base}`;
  const first = (absent.length === 0 ? ['vm'] : absent).map((target) => `npm run build:${target}`);
  throw new TreelineError('usage', `Cannot prove a release: ${output} holds none${wanted}${ofBase}`, {
    hint: `Build one first: ${first.join(', ')}`,
  });
}
