import { join } from 'node:path';
import { checkMemory } from '../guest/boot.ts';
import { TreelineError } from '../host/errors.ts';
import type { Event } from '../host/events.ts';
import type { ProveOptions } from '../prove/options.ts';
import type { Proof } from '../prove/prove.ts';
import type { WayReport } from '../prove/report.ts';
import { proofFile } from '../prove/report.ts';
import type { Arguments } from './arguments.ts';
import { parseCount, parseTarget } from './build-options.ts';

/** Seconds; many times what emulated processors need. */
const defaultTimeout = 900;
const defaultMemory = 256;

/** `home`: the checkout. */
export function readProveOptions(args: Arguments, home: string): ProveOptions {
  return {
    selection: {
      base: args.value('base'),
      targets: [...new Set(args.values('target'))].map(parseTarget),
    },
    memory: checkMemory(parseCount('memory', args.value('memory')) ?? defaultMemory),
    uefi: args.has('uefi'),
    timeout: parseCount('timeout', args.value('timeout')) ?? defaultTimeout,
    wayIn: join(home, 'overlays/prove/rootfs'),
  };
}

/** Throws 'update' where a way failed: which, at which step, why, and what the guest said last. */
export function requireProved(proofs: readonly Proof[]): void {
  const ways = proofs.flatMap(({ plan, report }) => report.ways.map((way) => ({ plan, way })));
  const failed = ways.filter(({ way }) => way.result === 'failed');
  if (failed.length === 0) return;
  const reports = [...new Set(failed.map(({ plan }) => proofFile(plan)))];
  throw new TreelineError(
    'update',
    `Cannot prove the release: ${failed.length} of ${ways.length} upgrades failed`,
    {
      output: failed
        .map(({ plan, way }) => describeFailure(plan.ref, plan.newest.manifest.version, way))
        .join('\n\n'),
      hint: `Do not publish it. All of it as JSON: ${reports.join(', ')}`,
    },
  );
}

function describeFailure(ref: string, to: string, { from, failure }: WayReport): string {
  const { step, reason, output, console, consoleLog } = failure!;
  return [
    `${ref} from ${from.version} to ${to}: ${step} failed: ${reason}`,
    ...(output === undefined || output === '' ? [] : output.split('\n')),
    'The last lines of its console:',
    ...console.map((line) => `| ${line}`),
    `All of it: ${consoleLog}`,
  ].join('\n');
}

/** What was proved, or that there was nothing to prove. */
export function presentProofs(proofs: readonly Proof[]): Event {
  const unproved = proofs.filter(({ report }) => report.result === 'nothing');
  const titles = proofs.map(({ plan, report }) => {
    const words = report.result === 'proved' ? 'proved' : 'nothing to prove';
    return `${plan.ref} ${plan.newest.manifest.version}: ${words}`;
  });
  return {
    type: 'result',
    title: titles.join(', '),
    rows: proofs.flatMap(proofRows),
    next:
      unproved.length === 0
        ? []
        : ['npm run build-update -- --keep 3    (keeps older releases; the next one can then be proved)'],
  };
}

function proofRows({ plan, report }: Proof): Extract<Event, { type: 'result' }>['rows'] {
  const path = proofFile(plan);
  return [
    ...report.ways.map(({ from, downloads }) => ({
      label: `${plan.target} from ${from.version}`,
      value: `upgraded by ${downloads
        .filter(({ file }) => file.endsWith('.delta'))
        .map(({ file }) => file)
        .join(', ')}, rolled back`,
      bytes: downloads.reduce((sum, { bytes }) => sum + bytes, 0),
    })),
    ...(report.ways.length === 0
      ? [{ label: plan.target, value: 'no older release is in the output directory' }]
      : []),
    { label: 'report', value: path, path },
  ];
}
