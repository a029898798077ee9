import { join } from 'node:path';
import { makeDirectory } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import type { Delta } from '../model.ts';
import type { TreeSandbox } from './appliers.ts';
import { ostree } from './repository.ts';

const block = 4096;

/** The kernel of a commit. */
export interface Kernel {
  /** In the tree, absolute. */
  path: string;
  /** Of its object: content, owner, mode and extended attributes. */
  checksum: string;
  size: number;
}

/** undefined where the commit has no kernel, or an empty one as containers have. */
export async function findKernel(host: Host, commit: string | undefined): Promise<Kernel | undefined> {
  if (commit === undefined) return undefined;
  const accept = { accept: [0, 1] };
  const modules = await ostree(host, ['ls', commit, '/usr/lib/modules'], accept);
  const directory = /^d\S+ .* (\/usr\/lib\/modules\/\S+)$/m.exec(modules)?.[1];
  if (directory === undefined) return undefined;
  const path = `${directory}/vmlinuz`;
  const found = await ostree(host, ['ls', '--checksum', commit, path], accept);
  const [, size, checksum] = /^-\d+ +\d+ +\d+ +(\d+) +([0-9a-f]{64}) /.exec(found) ?? [];
  return size === undefined || checksum === undefined || size === '0'
    ? undefined
    : { path, checksum, size: Number(size) };
}

/** The commits that a pair's two deltas lead between; `old` and `new` hold the kernels' parts. */
export interface KernelCommits {
  old: string;
  new: string;
  /** The old commit's tree with the new kernel beside it. */
  start: string;
}

/** Where they are: they have a repository of their own, with the old commit and the new one. */
export const repositoryIn = (directory: string): string => join(directory, 'repository');

/**
 * Makes them in scratch `directory`, by the scripts and programs of the old tree. undefined where a kernel cannot be taken apart,
 * or put together again to the same bytes.
 */
export async function makeKernelCommits(
  host: Host,
  options: { plain: Delta; kernels: readonly [Kernel, Kernel]; directory: string; tree: TreeSandbox },
): Promise<KernelCommits | undefined> {
  const { plain, kernels, directory, tree } = options;
  const [from, to] = [plain.from!, plain.to];
  const repository = repositoryIn(directory);
  await openScratch(host, repository);
  await ostree(host, ['pull-local', host.workspace.repository, from.id, to.id], { repository });
  const work = join(directory, 'work');
  await makeDirectory(work);
  for (const [{ id }, { path }, name] of [
    [from, kernels[0], 'old'],
    [to, kernels[1], 'new'],
  ] as const) {
    // A copy: it is moved into a commit afterwards.
    const outputFile = join(work, name);
    await host.run({ program: 'ostree', args: [`--repo=${repository}`, 'cat', id, path], outputFile });
  }
  const { stdout, exitCode } = await host.run({
    ...tree.run(['/bin/sh', '-c', takeApart, 'sh', from.id], {
      writable: { '/parts': work, '/repository': repository },
    }),
    accept: [0, notPackedSo],
    doing: 'take the kernels apart',
  });
  if (exitCode === notPackedSo) return undefined;
  const [old, next, start] = stdout.trim().split('\n');
  return { old: old!, new: next!, start: start! };
}

const notPackedSo = 9;

const takeApart = `set -e
state=/parts
. /usr/lib/treeline/kernel.sh
for version in old new; do
	split_kernel /parts/$version /parts/parts-$version || exit ${notPackedSo}
	join_kernel /parts/parts-$version | cmp -s - /parts/$version || exit ${notPackedSo}
done
commit_parts /repository /parts/parts-old
commit_parts /repository /parts/parts-new
mkdir /parts/kernel
mv /parts/new /parts/kernel/vmlinuz
commit_kernel /repository "$1" /parts/kernel`;

/** Bytes that both kernels take, packed and in parts, while one is made of the other. */
export async function roomForKernels(
  host: Host,
  options: { commits: KernelCommits; directory: string; kernels: readonly Kernel[] },
): Promise<number> {
  const { commits, directory, kernels } = options;
  const repository = repositoryIn(directory);
  let sizes = kernels.map(({ size }) => size);
  for (const commit of [commits.old, commits.new]) {
    const listed = await ostree(host, ['ls', '--recursive', commit], { repository });
    sizes = [...sizes, ...[...listed.matchAll(/^-\d+ +\d+ +\d+ +(\d+) /gm)].map(([, size]) => Number(size))];
  }
  return sizes.reduce((sum, size) => sum + Math.ceil(size / block) * block, 0);
}

async function openScratch(host: Host, repository: string): Promise<void> {
  await makeDirectory(repository);
  await ostree(host, ['init', '--mode=bare'], { repository });
  await ostree(host, ['config', 'set', 'core.fsync', 'false'], { repository });
}
