import { join } from 'node:path';
import { readTextIfExists, sha256, writeFileAtomically } from './host/files.ts';
import type { Host } from './host/host.ts';
import type { Lock, LockedPackage } from './model.ts';

/** What decides the result of a stage: a name for people, as in `file /etc/motd`, and what stands for its content. */
export type Inputs = Readonly<Record<string, string>>;

/** SHA-256 over all of them, in lower-case hexadecimal; their order does not count. */
export const inputsDigest = (inputs: Inputs): string =>
  sha256(JSON.stringify(Object.entries(inputs).toSorted(([a], [b]) => (a < b ? -1 : 1))));

/** The packages of a lock, and those that it is installed with. */
export function packageInputs({ packages, tools }: Lock): Inputs {
  const contentOf = ({ version, architecture, checksum }: LockedPackage): string =>
    `${version} ${architecture} ${checksum}`;
  return Object.fromEntries([
    ...packages.map((entry) => [`package ${entry.name}`, contentOf(entry)]),
    ...tools.map((entry) => [`installing package ${entry.name}`, contentOf(entry)]),
  ]);
}

/** A stage of one image that has a result to reuse. */
export interface KeyedStage {
  ref: string;
  stage: 'lock' | 'merge' | 'tree' | 'image';
  inputs: Inputs;
}

/** Says in the log why a stage runs or does not; with `aloud` to the user, too. `forced`: the user wanted it to run. */
export async function explainStage(
  host: Host,
  keyed: KeyedStage,
  { reused, forced, aloud }: { reused: boolean; forced: boolean; aloud: boolean },
): Promise<void> {
  const reason = forced && !reused ? '--force' : whyRun(await readInputs(host, keyed), keyed.inputs);
  const text = `${keyed.stage} of ${keyed.ref}: ${reused ? 'reused, nothing that decides it changed' : `made, ${reason}`}`;
  if (aloud) host.emit({ type: 'note', text });
  else host.log.line(text);
}

/** Whether the last result came from these inputs. */
export const isRemembered = async (host: Host, keyed: KeyedStage): Promise<boolean> =>
  (await readTextIfExists(fileOf(host, keyed))) === JSON.stringify(keyed.inputs);

/** Keeps what gave the result that is there now, for the next explanation. */
export async function rememberInputs(host: Host, keyed: KeyedStage): Promise<void> {
  if (!(await isRemembered(host, keyed)))
    await writeFileAtomically(fileOf(host, keyed), JSON.stringify(keyed.inputs));
}

/** In words: what differs between the inputs of the last result and those of now. */
export function whyRun(before: Inputs | undefined, now: Inputs): string {
  if (before === undefined) return 'for the first time here';
  const changes = [
    ...Object.keys(now).flatMap((name) =>
      before[name] === undefined ? [`${name} is new`] : before[name] === now[name] ? [] : [`${name} changed`],
    ),
    ...Object.keys(before).flatMap((name) => (now[name] === undefined ? [`${name} is gone`] : [])),
  ];
  if (changes.length === 0) return 'what was kept of it does not serve any more';
  const shown = changes.slice(0, mostShown).join(', ');
  return changes.length > mostShown ? `${shown} and ${changes.length - mostShown} more` : shown;
}

const mostShown = 6;

const fileOf = (host: Host, { ref, stage }: Omit<KeyedStage, 'inputs'>): string =>
  join(host.workspace.cache, 'inputs', ref.replaceAll('/', '-'), `${stage}.json`);

/** The inputs of a stage's last result; undefined where they are not known. */
export async function readInputs(host: Host, keyed: Omit<KeyedStage, 'inputs'>): Promise<Inputs | undefined> {
  try {
    const text = await readTextIfExists(fileOf(host, keyed));
    return text === undefined ? undefined : (JSON.parse(text) as Inputs);
  } catch {
    // It explains, and decides nothing.
    return undefined;
  }
}
