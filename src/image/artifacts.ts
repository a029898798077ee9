import { join } from 'node:path';
import { changeMode, fileSha256, fileSize } from '../host/files.ts';
import { codeDigest } from '../host/code.ts';
import type { Host } from '../host/host.ts';
import type { Inputs } from '../inputs.ts';
import { inputsDigest } from '../inputs.ts';
import type { Artifact, Commit, PartitionRecord, Recipe } from '../model.ts';
import type { Sysroot } from '../ostree/sysroot.ts';
import { deploySysroot } from '../ostree/sysroot.ts';
import { prepareBootDirectory } from './disk/boot-directory.ts';
import type { Layout } from './disk/layout.ts';
import type { DiskPlan } from './disk/plan.ts';
import { planDisk } from './disk/plan.ts';
import { checkSpace } from './disk/space.ts';
import { writeDisk } from './disk/write.ts';
import type { AuthorizedKeys } from './seed.ts';
import { seedState } from './seed.ts';
import { makeTemplate } from './template/template.ts';

/** What decides an image beside its commit. */
export interface ImageInputs {
  layout: Layout;
  keys: AuthorizedKeys;
  flat: boolean;
  qcow2: boolean;
}

export interface MadeArtifacts {
  artifacts: readonly Artifact[];
  partitions: readonly PartitionRecord[];
}

interface ArtifactRequest {
  recipe: Recipe;
  commit: Commit;
  inputs: ImageInputs;
  /** Begin of every artifact's file name. */
  name: string;
  /** Where the artifacts go; exists. */
  directory: string;
  /** For unfinished work; on the repository's file system. */
  scratch: string;
}

interface ImageParts {
  recipe: Recipe;
  commit: Commit;
  inputs: ImageInputs;
}

/** What decides the artifacts of a commit, besides the programs that make them. */
export function imageInputs({ recipe, commit, inputs: { layout, keys, flat, qcow2 } }: ImageParts): Inputs {
  return {
    commit: commit.id,
    'Treeline itself': codeDigest(),
    ...(recipe.request.target === 'vm'
      ? { layout: JSON.stringify(shapeOf(layout)), '--qcow2': String(qcow2) }
      : { '--flat': String(flat) }),
    'ssh keys': JSON.stringify(keys),
    'kernel arguments': JSON.stringify(recipe.settings.kernel.arguments),
  };
}

/** Names what the artifacts of a commit are made from: the same digest, the same artifacts. */
export const imageDigest = (parts: ImageParts): string => inputsDigest(imageInputs(parts));

/** Programs whose version may show in the artifacts, and what stands for GRUB's. */
export const imageTools = ({ request }: Recipe): readonly string[] =>
  request.target === 'vm'
    ? [
        ...[
          'ostree',
          'sfdisk',
          'mke2fs',
          'debugfs',
          'mkswap',
          'mkfs.vfat',
          'mmd',
          'mcopy',
          'grub-mkimage',
          'qemu-img',
        ],
        ...['/usr/lib/grub/i386-pc/boot.img', '/usr/lib/grub/x86_64-efi/moddep.lst'],
      ]
    : ['ostree', 'tar', 'gzip', 'xz', 'zstd', 'mksquashfs'];

/** A layout without where it was read from. */
const shapeOf = ({ partitions, ...layout }: Layout): object => ({
  ...layout,
  name: undefined,
  partitions: partitions.map((partition) => ({ ...partition, line: undefined })),
});

/** Commit → artifacts: a disk image for virtual machines, a template for containers. */
export const makeArtifacts = (host: Host, request: ArtifactRequest): Promise<MadeArtifacts> =>
  request.recipe.request.target === 'vm' ? makeDisk(host, request) : makeContainer(host, request);

async function makeDisk(host: Host, request: ArtifactRequest): Promise<MadeArtifacts> {
  const { commit, inputs, name, directory } = request;
  const plan = planDisk(inputs.layout, commit.id);
  const path = join(directory, `${name}.img`);
  const partitions = await writeDisk(host, {
    plan,
    sysroot: makeDiskSysroot(host, request, plan),
    output: path,
    epoch: commit.timestamp,
  });
  const paths = inputs.qcow2 ? [path, await convertToQcow2(host, path)] : [path];
  const artifacts = paths.map(async (image): Promise<Artifact> => {
    const [bytes, sha256] = [await fileSize(image), await fileSha256(image)];
    return { kind: 'disk-image', path: image, bytes, sha256 };
  });
  return { artifacts: await Promise.all(artifacts), partitions };
}

/** The same disk gives the same bits. */
async function convertToQcow2(host: Host, image: string): Promise<string> {
  const converted = image.replace(/img$/, 'qcow2');
  const formats = ['-f', 'raw', '-O', 'qcow2', '-c'];
  await host.run({
    program: 'qemu-img',
    args: ['convert', ...formats, image, converted],
    doing: `make ${converted}`,
  });
  await changeMode(converted, 0o644);
  return converted;
}

async function makeDiskSysroot(
  host: Host,
  { recipe: { settings }, commit, inputs, scratch }: ArtifactRequest,
  plan: DiskPlan,
): Promise<string> {
  const sysroot = await deploySysroot(host, {
    commit,
    directory: join(scratch, 'sysroot'),
    bootLoader: 'syslinux',
    kernelArguments: [`root=UUID=${plan.rootUuid}`, 'rootwait', ...settings.kernel.arguments],
    updateUrl: settings.update.url,
    prepareBoot: prepareBootDirectory,
  });
  const [bootBytes, commitBytes] = await Promise.all([
    directoryBytes(host, join(sysroot.directory, 'boot/ostree')),
    directoryBytes(host, sysroot.deployment),
    seedState(host, sysroot, inputs.keys),
  ]);
  checkSpace(plan, { bootBytes, commitBytes });
  return sysroot.directory;
}

async function makeContainer(host: Host, request: ArtifactRequest): Promise<MadeArtifacts> {
  const { recipe, commit, inputs, name, directory, scratch } = request;
  const sysroot: Sysroot = await deploySysroot(host, {
    commit,
    directory: join(scratch, 'sysroot'),
    bootLoader: 'none',
    kernelArguments: [],
    updateUrl: recipe.settings.update.url,
  });
  await seedState(host, sysroot, inputs.keys);
  const artifacts = await makeTemplate(host, {
    sysroot: sysroot.directory,
    recipe,
    version: commit.version,
    epoch: commit.timestamp,
    directory,
    name,
    flat: inputs.flat,
  });
  return { artifacts, partitions: [] };
}

/** Bytes on disk, a file with several links counted once. */
async function directoryBytes(host: Host, directory: string): Promise<number> {
  const { stdout } = await host.run({ program: 'du', args: ['--summarize', '--block-size=1', directory] });
  return Number(stdout.split('\t')[0]);
}
