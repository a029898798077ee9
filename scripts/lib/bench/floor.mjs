// What no builder can do without.
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fs } from 'zx';
import { removeAll, runAsRoot } from './command.mjs';

const processes = availableParallelism();

const unpacking = `out=$1 list=$2; shift 2; mkdir -p "$out/tree"
xargs -d '\\n' -P ${processes} -I '{}' "$@" <"$list"`;

/** $1: output directory, $2: the finished disk image. */
const writingDisk = `cp --sparse=always "$2" "$1/image"; sha256sum "$1/image" >"$1/sums"`;

/** $1: output directory, $2: the finished tree. Compressors and levels are those of src/image/template/archive.ts. */
const writingTemplates = `tar -C "$2" --sort=name -cf - . | zstd --quiet -9 --threads=${processes} -o "$1/tree.tar.zst"
mksquashfs "$2" "$1/tree.squashfs" -quiet -no-progress -comp zstd -Xcompression-level 9 -b 256K -processors ${processes}
sha256sum "$1/tree.tar.zst" "$1/tree.squashfs" >"$1/sums"`;

/**
 * The floor of a cold build as a contestant. `archives`: paths of the image's packages; `unpack`: the command that unpacks
 * {} into DIRECTORY; `image`: the finished disk image, or for containers `tree`: the finished tree.
 */
export function floor({ directory, archives, unpack, image, tree }) {
  const out = join(directory, 'floor');
  const list = join(directory, 'archives');
  const writing =
    image === undefined
      ? 'the finished tree once as .tar.zst and once as squashfs, compressed as ours'
      : 'the finished image copied without its holes';
  return {
    who: `the floor (${image === undefined ? 'templates' : 'disk'})`,
    role: 'floor',
    does: `the same package files unpacked into one directory by ${processes} processes, the largest first (no checks, no repository, no initramfs, no boot loader); then ${writing}; then one SHA-256 of the result`,
    prepare: async () => {
      await removeAll(out);
      await fs.outputFile(list, `${largestFirst(archives).join('\n')}\n`);
    },
    run: async () => {
      const command = unpack.map((word) => (word === 'DIRECTORY' ? join(out, 'tree') : word));
      await runAsRoot('sh', ['-ec', unpacking, 'sh', out, list, ...command]);
      const script = image === undefined ? writingTemplates : writingDisk;
      await runAsRoot('sh', ['-ec', script, 'sh', out, image ?? tree]);
    },
  };
}

/** Parts of a build that changes nothing, or one file: what starting Node and writing an image take by themselves. */
export const nodeAlone = {
  who: 'node, doing nothing',
  role: 'part',
  does: 'node -e 0: what starting the interpreter takes',
  run: () => runAsRoot('node', ['-e', '0']),
};

export function imageAlone({ directory, image }) {
  const out = join(directory, 'image-alone');
  return {
    who: 'writing the image alone',
    role: 'part',
    does: 'the finished image copied without its holes, and one SHA-256 of it',
    prepare: async () => {
      await removeAll(out);
      await fs.ensureDir(out);
    },
    run: () => runAsRoot('sh', ['-ec', writingDisk, 'sh', out, image]),
  };
}

const largestFirst = (paths) =>
  paths
    .map((path) => ({ path, bytes: fs.statSync(path).size }))
    .toSorted((a, b) => b.bytes - a.bytes)
    .map(({ path }) => path);
