import { expectInteger, expectName } from './names.ts';
import { Refusal } from './refusal.ts';
import type { TarEntry } from './tar-archive.ts';
import { readTar } from './tar-archive.ts';
import { printable } from './tar-header.ts';

/** What the control member of a package says. */
export interface Control {
  name: string;
  version: string;
  /** As the package states it: `noarch` stays. */
  architecture: string;
  /** Seconds since 1970; 0 where it is not stated. */
  buildDate: number;
  /** Bytes that its files take; 0 where it is not stated. */
  installedSize: number;
  /** SHA-256 of the compressed data, in hexadecimal. */
  dataHash: string;
  /** All of .PKGINFO: key → its values, in their order. */
  info: ReadonlyMap<string, readonly string[]>;
  /** The names of its scripts, e.g. `.post-install`, `.trigger`; sorted. */
  scripts: string[];
}

/** Reads a control member, unpacked: a tar of `.PKGINFO` and scripts (apk-tools 2). Throws a Refusal. */
export function readControl(content: Buffer): Control {
  const files = new Map<string, TarEntry>();
  for (const entry of readTar(content, { end: 'optional' })) {
    expectControlFile(entry, files);
    files.set(entry.path, entry);
  }
  const pkginfo = files.get('.PKGINFO');
  if (pkginfo === undefined) throw new Refusal('it has no .PKGINFO');
  const info = readInfo(pkginfo.content.toString('utf8'));
  const dataHash = single(info, 'datahash');
  if (!/^[0-9a-f]{64}$/.test(dataHash)) throw new Refusal('its .PKGINFO has no SHA-256 as datahash');
  return {
    name: expectName('name', single(info, 'pkgname')),
    version: expectName('version', single(info, 'pkgver')),
    architecture: expectName('architecture', single(info, 'arch')),
    buildDate: expectInteger('build date', single(info, 'builddate', '0')),
    installedSize: expectInteger('installed size', single(info, 'size', '0')),
    dataHash,
    info,
    scripts: [...files.keys()].filter((path) => scriptNames.has(path)).toSorted(),
  };
}

/** The scripts that apk runs. */
export const scriptNames: ReadonlySet<string> = new Set(
  ['install', 'upgrade', 'deinstall']
    .flatMap((action) => [`.pre-${action}`, `.post-${action}`])
    .concat('.trigger'),
);

function expectControlFile(entry: TarEntry, before: ReadonlyMap<string, TarEntry>): void {
  const { path, type } = entry;
  // A name without the dot would begin the package's files for apk.
  if (type !== 'file' || !/^\.[\w.-]+$/.test(path) || path.startsWith('.SIGN.')) {
    throw new Refusal(`its control member has the ${type} ${printable(path)}`);
  }
  if (before.has(path)) throw new Refusal(`its control member has ${path} twice`);
}

/** `key = value` lines; `#` begins a comment. */
function readInfo(text: string): Map<string, string[]> {
  const info = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    if (line.startsWith('#')) continue;
    // eslint-disable-next-line no-control-regex -- they could end a line in apk's database
    if (/[\x00-\x08\x0b-\x1f\x7f]/.test(line)) {
      throw new Refusal('its .PKGINFO has a control character');
    }
    const [, key, value] = /^(.*?) = (.*)$/.exec(line) ?? [];
    if (key === undefined || value === undefined) continue;
    info.set(key, [...(info.get(key) ?? []), value]);
  }
  return info;
}

/** The only value of a key; readers differ in which of several counts. */
function single(info: ReadonlyMap<string, readonly string[]>, key: string, fallback?: string): string {
  const values = info.get(key) ?? [];
  if (values.length > 1) throw new Refusal(`its .PKGINFO states ${key} more than once`);
  const value = values[0] ?? fallback;
  if (value === undefined) throw new Refusal(`its .PKGINFO states no ${key}`);
  return value;
}
