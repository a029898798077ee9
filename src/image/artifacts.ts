import { join } from 'node:path';
import { fileSha256, fileSize, sha256 } from '../host/files.ts';
import { codeDigest } from '../host/code.ts';
import type { Host } from '../host/host.ts';
import type { Artifact, Commit, PartitionRecord, Recipe } from '../model.ts';
import type { Sysroot } from '../ostree/sysroot.ts';
import { deploySysroot } from '../ostree/sysroot.ts';
import { prepareBootDirectory } from './disk/boot-directory.ts';
import type { Layout } from './disk/layout.ts';
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

/** Names what the artifacts of a commit are made from: the same digest, the same artifacts. */
export function imageDigest(recipe: Recipe, commit: Commit, { layout, keys, flat }: ImageInputs): string {
  const shape = recipe.request.target === 'vm' ? shapeOf(layout) : flat;
  return sha256(JSON.stringify([commit.id, codeDigest(), shape, keys, recipe.settings.kernel.arguments]));
}

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
  const { recipe, commit, inputs, name, directory, scratch } = request;
  const { settings } = recipe;
  const plan = planDisk(inputs.layout, commit.id);
  const sysroot = await deploySysroot(host, {
    commit,
    directory: join(scratch, 'sysroot'),
    bootLoader: 'syslinux',
    kernelArguments: [`root=UUID=${plan.rootUuid}`, 'rootwait', ...settings.kernel.arguments],
    updateUrl: settings.update.url,
    prepareBoot: prepareBootDirectory,
  });
  checkSpace(plan, {
    bootBytes: await directoryBytes(host, join(sysroot.directory, 'boot/ostree')),
    commitBytes: await directoryBytes(host, sysroot.deployment),
  });
  await seedState(host, sysroot, inputs.keys);
  const path = join(directory, `${name}.img`);
  const partitions = await writeDisk(host, {
    plan,
    sysroot: sysroot.directory,
    output: path,
    epoch: commit.timestamp,
  });
  const artifact: Artifact = {
    kind: 'disk-image',
    path,
    bytes: await fileSize(path),
    sha256: await fileSha256(path),
  };
  return { artifacts: [artifact], partitions };
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
