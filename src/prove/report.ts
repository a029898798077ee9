import { join } from 'node:path';
import { writeFileAtomically } from '../host/files.ts';
import type { StageTime } from '../host/host.ts';
import type { Accelerator } from '../guest/qemu.ts';
import type { ProofPlan } from './plan.ts';

/** What became of the way from one release to the newest and back. */
export interface WayReport {
  from: { version: string; commit: string };
  result: 'proved' | 'failed';
  /** Steps that ended well, in order. */
  steps: readonly { step: string; seconds: number }[];
  /** What the guest fetched from below updates/, with bytes of the answers' bodies. */
  downloads: readonly { file: string; bytes: number }[];
  failure?: WayFailure;
}

export interface WayFailure {
  step: string;
  reason: string;
  /** What the program said that failed. */
  output?: string;
  /** The guest's last console lines. */
  console: readonly string[];
  /** The whole console, a file of this machine. */
  consoleLog: string;
}

/** `proof.json`, beside the release's manifest. */
export interface ProofReport {
  format: 1;
  ref: string;
  version: string;
  commit: string;
  /** `nothing`: no older release is kept, so there is no way to prove. */
  result: 'proved' | 'failed' | 'nothing';
  /** When it was made, ISO 8601. */
  time: string;
  /** Absent where none ran. */
  guest?: GuestFacts;
  ways: readonly WayReport[];
}

/** How the guests ran. */
export type GuestFacts =
  | { kind: 'machine'; accelerator: Accelerator; memory: number; firmware: 'bios' | 'uefi' }
  | { kind: 'container' };

export const proofFile = ({ newest }: Pick<ProofPlan, 'newest'>): string =>
  join(newest.directory, 'proof.json');

export function makeReport(
  { ref, newest }: ProofPlan,
  { time, ways, ...facts }: { time: Date; guest?: GuestFacts; ways: readonly WayReport[] },
): ProofReport {
  const { version, commit } = newest.manifest;
  const result =
    ways.length === 0 ? 'nothing' : ways.every((way) => way.result === 'proved') ? 'proved' : 'failed';
  return { format: 1, ref, version, commit, result, time: time.toISOString(), ...facts, ways };
}

export const writeReport = (plan: ProofPlan, report: ProofReport): Promise<void> =>
  writeFileAtomically(proofFile(plan), `${JSON.stringify(report, null, 2)}\n`);

export const stepTimes = (times: readonly StageTime[]): WayReport['steps'] =>
  times.map(({ stage, seconds }) => ({ step: stage, seconds: Math.round(seconds * 10) / 10 }));
