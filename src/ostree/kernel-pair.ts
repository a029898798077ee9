import { join } from 'node:path';
import { TreelineError } from '../host/errors.ts';
import { makeDirectory, remove } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import type { Delta, DeltaFile, KernelPair } from '../model.ts';
import type { TreeSandbox } from './appliers.ts';
import { openTreeSandbox } from './appliers.ts';
import { makeDelta } from './delta.ts';
import type { KernelCommits } from './kernel-parts.ts';
import { findKernel, makeKernelCommits, repositoryIn, roomForKernels } from './kernel-parts.ts';
import { applyAndCompare } from './prove-delta.ts';

/** A pair must be at most so much of the one delta: it takes two requests, and time to put the kernel together. */
const worthwhile = 3 / 4;
/** Bytes of memory that lz4 takes to pack: 14 MB, see docs/decisions/0028-kernel-travels-unpacked.md. */
const packing = 16 << 20;

/** What of the old tree puts the new kernel together, below /usr. */
const needed = ['bin/ostree', 'bin/lz4', 'lib/treeline/kernel.sh'];

/**
 * Makes a pair of deltas, beside `plain` and in fewer bytes: one for what changed inside the kernel, one for the rest. All
 * that has to do with the kernel is done by the old tree's own scripts and programs, as the machines will, and then proved
 * like any delta. undefined where there is no such pair: the same kernel, one that is packed in another way, an old tree
 * that cannot put it together to the same bytes, or too little gained. `scratch`: on the file system of the repository.
 */
export async function makeKernelPair(
  host: Host,
  plain: Delta,
  scratch: string,
): Promise<KernelPair | undefined> {
  const { from, to } = plain;
  const [before, after] = [await findKernel(host, from?.id), await findKernel(host, to.id)];
  if (from === undefined || before === undefined || after === undefined) return undefined;
  if (before.checksum === after.checksum) return undefined;
  const none = async (reason: string): Promise<undefined> => {
    host.log.line(`No kernel pair from ${from.version} to ${to.version}: ${reason}`);
    for (const part of ['kernel', 'rest'] as const) await remove(pairFile(plain.path, part));
    return undefined;
  };
  const directory = join(scratch, `kernel-${from.id.slice(0, 12)}-${to.id.slice(0, 12)}`);
  await remove(directory);
  await makeDirectory(directory);
  try {
    const tree = await openTreeSandbox(host, from, directory);
    for (const path of needed)
      if (!(await tree.has(path))) return await none(`${from.version} has no ${path}`);
    const kernels = [before, after] as const;
    const commits = await makeKernelCommits(host, { plain, kernels, directory, tree });
    if (commits === undefined) return await none('one of the kernels is not packed as the old tree packs');
    const made = await makeBoth(host, { plain, commits, directory });
    if (made.kernel.bytes + made.rest.bytes > plain.bytes * worthwhile)
      return await none(`${made.kernel.bytes} and ${made.rest.bytes} bytes in place of ${plain.bytes}`);
    const added = await prove(host, { plain, commits, made, directory, tree });
    const { memory: kernelMemory, ...kernel } = made.kernel;
    const { memory: restMemory, ...rest } = made.rest;
    return {
      kernel: {
        ...kernel,
        ...{ from: commits.old, to: commits.new },
        unpackedBytes: await roomForKernels(host, { commits, directory, kernels }),
      },
      rest: { ...rest, from: commits.start, unpackedBytes: added },
      memory: Math.max(kernelMemory, restMemory, packing),
    };
  } catch (cause) {
    if (host.signal.aborted || !(cause instanceof TreelineError)) throw cause;
    return await none(cause.message);
  } finally {
    await remove(directory);
  }
}

type Made = Omit<DeltaFile, 'unpackedBytes'> & { memory: number };

async function makeBoth(
  host: Host,
  { plain, commits, directory }: { plain: Delta; commits: KernelCommits; directory: string },
): Promise<{ kernel: Made; rest: Made }> {
  const there: Host = { ...host, workspace: { ...host.workspace, repository: repositoryIn(directory) } };
  const make = async (part: 'kernel' | 'rest', from: string, to: string): Promise<Made> => {
    const path = pairFile(plain.path, part);
    const ends = { from: { ...plain.to, id: from }, to: { ...plain.to, id: to } };
    const { bytes, sha256, memory } = await makeDelta(there, { ...ends, path });
    return { path, bytes, sha256, memory };
  };
  // One after the other: deltas are made two at a time as it is.
  return {
    kernel: await make('kernel', commits.old, commits.new),
    rest: await make('rest', commits.start, plain.to.id),
  };
}

/** The path of a pair's file, beside that of the one delta. */
export const pairFile = (plain: string, part: 'kernel' | 'rest'): string =>
  plain.replace(/\.delta$/, `-${part}.delta`);

const bringBoth = `set -e
state=/parts
repository=/repository
. /usr/lib/treeline/kernel.sh
bring_kernel "$@" /kernel.delta
ostree static-delta apply-offline --repo=/repository /rest.delta`;

async function prove(
  host: Host,
  options: {
    plain: Delta;
    commits: KernelCommits;
    made: { kernel: Made; rest: Made };
    directory: string;
    tree: TreeSandbox;
  },
): Promise<number> {
  const { plain, commits, made, directory, tree } = options;
  const work = join(directory, 'proof');
  await makeDirectory(work);
  return applyAndCompare(host, {
    delta: plain,
    directory: work,
    applier: ({ repository }) =>
      tree.run(['/bin/sh', '-c', bringBoth, 'sh', plain.from!.id, commits.old, commits.new, commits.start], {
        writable: { '/parts': work, '/repository': repository },
        readable: { '/kernel.delta': made.kernel.path, '/rest.delta': made.rest.path },
      }),
  });
}
