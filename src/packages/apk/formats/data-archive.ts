import { readMembers } from './gzip-member.ts';
import { scriptNames } from './package-info.ts';
import { Refusal } from './refusal.ts';
import type { TarEntry } from './tar-archive.ts';
import { readTar } from './tar-archive.ts';
import { printable } from './tar-header.ts';

/** No package unpacks to more than this. */
const largestArchive = 4 * 2 ** 30 - 4096;
/** Files and directories, those that are only named in paths too: what the walk remembers. */
const mostNames = 1_000_000;
/** Directories above a file. */
const deepest = 128;
/** What headers and padding may take beside the files. */
const overhead = 64 * 2 ** 20;

/**
 * Unpacks the data of a package (one gzip member or several, from `start` to the end of `bytes`) in memory and walks it.
 * `installedSize` is what the package states; `setuid` are the paths, relative to the root, that may have the setuid or
 * setgid bit or file capabilities. Throws a Refusal for all that could reach outside the tree, give more rights than a file
 * should, or be read in two ways.
 */
export function verifyData(
  bytes: Buffer,
  start: number,
  { installedSize, setuid }: { installedSize: number; setuid: readonly string[] },
): void {
  const limit = Math.min(installedSize * 2 + overhead, largestArchive);
  verifyEntries(readMembers(bytes, start, limit), setuid);
}

type Known = TarEntry | 'implied directory';

function verifyEntries(archive: Buffer, setuid: readonly string[]): void {
  const allowed = new Set(setuid.map(asLatin1));
  const privileged = new Set<string>();
  const known = new Map<string, Known>();
  for (const entry of readTar(archive, { end: 'required' })) {
    const refuse = (reason: string): never => {
      throw new Refusal(`${printable(entry.path)} ${reason}`);
    };
    const path = entry.type === 'directory' ? entry.path.replace(/\/$/, '') : entry.path;
    verifyPath(path, refuse);
    verifyParents(path, known, refuse);
    verifyType(entry, { path, known, refuse });
    verifyPrivileges(entry, { path, allowed, privileged });
    const before = known.get(path);
    if (before !== undefined && (entry.type !== 'directory' || !isDirectory(before))) {
      refuse('is in the package twice');
    }
    known.set(path, entry);
    if (known.size > mostNames) throw new Refusal(`it has more than ${mostNames} files and directories`);
  }
}

/** Paths as the archive has them: bytes. */
const asLatin1 = (path: string): string => Buffer.from(path).toString('latin1');

const kind = (known: Known): string => (known === 'implied directory' ? known : `a ${known.type}`);
const isFile = (known: Known | undefined): boolean =>
  typeof known === 'object' && (known.type === 'file' || known.type === 'hard link');
const isDirectory = (known: Known): boolean => known === 'implied directory' || known.type === 'directory';

type Refuse = (reason: string) => never;

// eslint-disable-next-line no-control-regex -- apk's database has a line for each name
const controlCharacter = /[\x00-\x1f\x7f]/;

function verifyPath(path: string, refuse: Refuse): void {
  if (path === '') refuse('is an empty name');
  if (path.startsWith('/')) refuse('is an absolute name');
  if (controlCharacter.test(path)) refuse('has a control character in its name');
  const components = path.split('/');
  if (components.length - 1 > deepest) refuse(`lies below more than ${deepest} directories`);
  for (const component of components) {
    if (component === '..') refuse('climbs out of its directory with `..`');
    if (component === '' || component === '.') refuse('has an empty component in its name, or `.`');
  }
  // apk reads these out of the data too, and skips any other name that begins with a dot.
  const isControl = path === '.PKGINFO' || scriptNames.has(path);
  if (isControl) refuse('is a script or .PKGINFO outside the control member');
}

/** All directories above `path`, which must be directories; they become known. */
function verifyParents(path: string, known: Map<string, Known>, refuse: Refuse): void {
  for (let slash = path.lastIndexOf('/'); slash > 0; slash = path.lastIndexOf('/', slash - 1)) {
    const parent = path.slice(0, slash);
    const above = known.get(parent);
    // What lies above a known directory was looked at when it became known.
    if (above !== undefined && isDirectory(above)) return;
    if (above !== undefined) refuse(`lies below ${printable(parent)}, ${kind(above)} of the same package`);
    known.set(parent, 'implied directory');
  }
}

interface Place {
  path: string;
  known: ReadonlyMap<string, Known>;
  refuse: Refuse;
}

function verifyType(entry: TarEntry, { path, known, refuse }: Place): void {
  const { type, linkPath } = entry;
  if (type === 'device node' || type === 'fifo') refuse(`is a ${type}`);
  if (type === 'hard link') {
    if (linkPath.startsWith('/')) refuse(`is a hard link to the absolute name ${printable(linkPath)}`);
    if (linkPath.split('/').includes('..')) refuse(`is a hard link that climbs: ${printable(linkPath)}`);
    if (!isFile(known.get(linkPath))) {
      refuse(`is a hard link to ${printable(linkPath)}, which is no file of the package before it`);
    }
  }
  if (type === 'symlink') {
    if (linkPath === '' || controlCharacter.test(linkPath)) {
      refuse('is a symlink to nothing, or to a name with a control character');
    }
    if (climbsOut(path, linkPath)) refuse(`is a symlink that leaves the tree: ${printable(linkPath)}`);
  }
}

/** Whether a link at `path` climbs above the root. An absolute target begins at the tree's own root, and may not climb either. */
function climbsOut(path: string, target: string): boolean {
  let depth = target.startsWith('/') ? 0 : path.split('/').length - 1;
  for (const component of target.split('/')) {
    if (component === '..') depth -= 1;
    else if (component !== '' && component !== '.') depth += 1;
    if (depth < 0) return true;
  }
  return false;
}

interface Privileges {
  path: string;
  /** The paths that may gain something. */
  allowed: ReadonlySet<string>;
  /** The paths that did, to which this one is added. */
  privileged: Set<string>;
}

/** What lets a file do more than the user who runs it may. */
function verifyPrivileges(entry: TarEntry, { path, allowed, privileged }: Privileges): void {
  const gain = privilegeOf(entry, privileged);
  if (gain === undefined) return;
  if (!allowed.has(path)) {
    throw new Refusal(`${printable(entry.path)} brings ${gain}`, {
      hint: `If it should have it, add ${printable(`/${path}`)} to \`setuid\` in a layer.yaml.`,
    });
  }
  privileged.add(path);
}

function privilegeOf(entry: TarEntry, privileged: ReadonlySet<string>): string | undefined {
  if (isFile(entry) && (entry.mode & 0o6000) !== 0) return 'the setuid or setgid bit';
  if (entry.type === 'hard link' && privileged.has(entry.linkPath)) {
    return `the setuid or setgid bit of ${printable(entry.linkPath)}, to which it is a hard link`;
  }
  // Capabilities are in one; overlayfs, SELinux and others act on more of them.
  const attribute = entry.attributes.find((name) => !/^user\.(?!overlay\.)/.test(name));
  return attribute === undefined ? undefined : `the extended attribute ${printable(attribute)}`;
}
