import { join } from 'node:path';
import { listNames, readEntry } from '../host/files.ts';
import type { Entry } from '../host/files.ts';
import type { OverlayFile } from '../model.ts';
import { readFailure } from './layers.ts';
import type { FoundLayer } from './layers.ts';
import type { Problems } from './problems.ts';
import { rootLinks, throughRootLinks } from './tree-paths.ts';

/** Files that keep an empty directory in git; they do not enter a tree. */
const placeholders: readonly string[] = ['.gitkeep', '.keep'];

/** Directories of a running system in which nothing of the tree can be seen. */
const hidden: readonly string[] = ['proc', 'sys', 'dev', 'run', 'tmp', 'sysroot', 'ostree'];

/** Files that are made from settings, and from which. */
const generated: ReadonlyMap<string, string> = new Map([
  ['etc/passwd', 'users'],
  ['etc/shadow', 'users'],
  ['etc/group', 'groups'],
  ['etc/hostname', 'hostname'],
  ['etc/os-release', 'distribution'],
  ['usr/lib/os-release', 'distribution'],
]);

/**
 * What a layer's `rootfs/` lays over the tree, parents first. Links are never followed. Of a file's mode only whether
 * it may be executed counts (as in git), so that a umask does not change a commit; owner root.
 */
export async function readRootfs(layer: FoundLayer, problems: Problems): Promise<OverlayFile[]> {
  const root = join(layer.directory, 'rootfs');
  const origin = { layer: layer.name, file: root };
  const kind = (await readEntry(root))?.kind;
  if (kind === undefined) return [];
  if (kind !== 'directory') {
    problems.add(origin, 'must be a real directory, not a link or a file');
    return [];
  }
  return readBelow(layer, root, '', problems);
}

async function readBelow(
  layer: FoundLayer,
  root: string,
  below: string,
  problems: Problems,
): Promise<OverlayFile[]> {
  const directory = join(root, below);
  const names = await listNames(directory).catch((error: unknown) => {
    problems.add({ layer: layer.name, file: directory }, `cannot be read: ${readFailure(error)}`);
    return [];
  });
  const files: OverlayFile[] = [];
  for (const name of names.filter((candidate) => !placeholders.includes(candidate))) {
    const path = below === '' ? name : `${below}/${name}`;
    const source = join(root, path);
    const origin = { layer: layer.name, file: source };
    const entry = await readEntry(source);
    const reason = entry && whyUnusable(path, entry);
    if (entry === undefined || reason !== undefined) {
      problems.add(origin, reason ?? notUtf8);
      continue;
    }
    const kind = entry.kind as OverlayFile['kind'];
    const mode = { file: entry.mode & 0o100 ? 0o755 : 0o644, directory: 0o755, symlink: 0o777 }[kind];
    const file = { path: throughRootLinks(path), kind, source, mode, uid: 0, gid: 0, origin };
    files.push(entry.link === undefined ? file : { ...file, link: entry.link });
    if (kind === 'directory') files.push(...(await readBelow(layer, root, path, problems)));
  }
  return files;
}

/** Names of other bytes cannot even be found again by what the listing says. */
const notUtf8 = 'a name in a tree must be UTF-8 without control characters';

function whyUnusable(path: string, { kind, link }: Entry): string | undefined {
  const setting = generated.get(throughRootLinks(path));
  if (/[\p{Cc}\uFFFD]/u.test(path)) return notUtf8;
  if (kind === 'other')
    return 'is a device, socket or pipe; only files, directories and links can be laid over a tree';
  const leadsTo = rootLinks.get(path);
  if (leadsTo !== undefined && kind !== 'directory') return `/${path} is a link to ${leadsTo} in every tree`;
  if (hidden.includes(path)) return `nothing below /${path} of the tree can be seen when the system runs`;
  if (path === 'usr/etc') return 'write it below etc/; the tree keeps it in usr/etc by itself';
  if (setting !== undefined) return `/${path} is made from the setting ${setting} of layer.yaml`;
  if (link !== undefined && /\p{Cc}/u.test(link))
    return 'where a link leads to must not have control characters';
  return undefined;
}
