import { join } from 'node:path';
import { fileSha256, fileSize } from '../../host/files.ts';
import type { Host } from '../../host/host.ts';
import { sideBySide } from '../../host/side-by-side.ts';
import type { Artifact, Recipe } from '../../model.ts';
import { makeSquashfs, makeTarball } from './archive.ts';
import { imageFacts } from './facts.ts';
import { makeFlatTarball } from './flat.ts';
import { writeLxcConfig, writeLxcMetadata } from './lxc.ts';
import { openvzTemplateName, writeOpenvzSample } from './openvz.ts';
import { addShell } from './shell.ts';

/** Some of the compressors have one thread only, the others two. */
const archivesAtOnce = 2;

export interface TemplateRequest {
  /**
   * Absolute: a sysroot with one deployment of stateroot `treeline`, its /var seeded. The shell is added to it, so it
   * must be a throw-away one; no file that stands in it already is written to.
   */
  sysroot: string;
  recipe: Pick<Recipe, 'ref' | 'distribution' | 'request'>;
  version: string;
  /** Seconds since 1970: the time of every file. */
  epoch: number;
  /** Absolute: where the artifacts go. They grow there, so this is a directory of unfinished work. */
  directory: string;
  /** Begins the file names. */
  name: string;
  /** Also make `<name>-flat.tar.zst`, which has no ostree and needs no mounts. */
  flat?: boolean;
}

/**
 * Sysroot → what container managers take: for `lxc` a .tar.xz (lxc-create), a .tar.zst (Proxmox), a squashfs (Incus),
 * metadata (lxc-create, Incus) and a configuration; for `ovz` a .tar.gz named as vzctl wants its OS templates, a
 * squashfs and a sample configuration. The same sysroot, version and epoch give the same bits.
 */
export async function makeTemplate(host: Host, request: TemplateRequest): Promise<Artifact[]> {
  const { deployment } = await addShell(request.sysroot);
  const parts =
    request.recipe.request.target === 'ovz' ? openvzParts(host, request) : lxcParts(host, request);
  if (request.flat === true) parts.push(flatPart(host, request, deployment));
  return sideBySide(
    parts.map(({ kind, path, make }) => async () => {
      await make(path);
      return { kind, path, bytes: await fileSize(path), sha256: await fileSha256(path) };
    }),
    archivesAtOnce,
  );
}

/** An artifact that is to be made; those that take longest stand first. */
interface Part {
  kind: Artifact['kind'];
  path: string;
  make(path: string): Promise<void>;
}

function lxcParts(host: Host, request: TemplateRequest): Part[] {
  const { sysroot: root, recipe, epoch, directory, name } = request;
  const facts = imageFacts(recipe, request);
  const tarball = (path: string): Promise<void> => makeTarball(host, { root, epoch, path });
  const squashfs = (path: string): Promise<void> =>
    makeSquashfs(host, { root, epoch, path, compression: 'zstd' });
  return [
    { kind: 'tarball', path: join(directory, `${name}.tar.xz`), make: tarball },
    { kind: 'squashfs', path: join(directory, `${name}.squashfs`), make: squashfs },
    { kind: 'tarball', path: join(directory, `${name}.tar.zst`), make: tarball },
    {
      kind: 'metadata',
      path: join(directory, `${name}-meta.tar.xz`),
      make: (path) => writeLxcMetadata(host, facts, path),
    },
    { kind: 'config', path: join(directory, `${name}.conf`), make: (path) => writeLxcConfig(facts, path) },
  ];
}

function openvzParts(host: Host, request: TemplateRequest): Part[] {
  const { sysroot: root, recipe, epoch, directory, name } = request;
  const template = openvzTemplateName(imageFacts(recipe, request));
  return [
    {
      kind: 'tarball',
      path: join(directory, `${template}.tar.gz`),
      make: (path) => makeTarball(host, { root, epoch, path }),
    },
    {
      kind: 'squashfs',
      path: join(directory, `${name}.squashfs`),
      // The old kernels of OpenVZ read no other compression.
      make: (path) => makeSquashfs(host, { root, epoch, path, compression: 'gzip' }),
    },
    { kind: 'config', path: join(directory, 've-treeline.conf-sample'), make: writeOpenvzSample },
  ];
}

function flatPart(
  host: Host,
  { sysroot, epoch, directory, name }: TemplateRequest,
  deployment: string,
): Part {
  return {
    kind: 'tarball',
    path: join(directory, `${name}-flat.tar.zst`),
    make: (path) => makeFlatTarball(host, { sysroot, deployment, epoch, path }),
  };
}
