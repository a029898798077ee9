/** A package whose signature was verified. */
export interface ApkPackage {
  name: string;
  version: string;
  /** As the package states it: `noarch` stays. */
  architecture: string;
  /** Seconds since 1970; 0 where it is not stated. */
  buildDate: number;
  /** `Q1` and the base64 of the SHA-1 over the compressed control member, as in an index. */
  checksum: string;
  /** Bytes of the .apk file. */
  size: number;
  /** All of .PKGINFO: key → its values, in their order. */
  info: ReadonlyMap<string, readonly string[]>;
  /** The names of its scripts, e.g. `.post-install`, `.trigger`; sorted. */
  scripts: string[];
}

/**
 * The lines that stand for a package in the index of a repository for `architecture`, without the empty line behind them:
 * those that `apk index --rewrite-arch ARCHITECTURE` of apk-tools 2.14 writes (apk_pkg_write_index_entry).
 */
export function indexEntryOf(apk: ApkPackage, architecture: string = apk.architecture): string {
  const first = (key: string): string | undefined => apk.info.get(key)?.at(-1);
  const all = (key: string): string | undefined => {
    const items = (apk.info.get(key) ?? []).flatMap((line) => line.split(' ')).filter((item) => item !== '');
    return items.length === 0 ? undefined : items.map(normalize).join(' ');
  };
  const lines: [string, string | undefined][] = [
    ['C', apk.checksum],
    ['P', apk.name],
    ['V', apk.version],
    ['A', architecture],
    ['S', String(apk.size)],
    ['I', first('size') ?? '0'],
    ['T', first('pkgdesc') ?? ''],
    ['U', first('url') ?? ''],
    ['L', first('license') ?? ''],
    ['o', first('origin')],
    ['m', first('maintainer')],
    ['t', apk.buildDate === 0 ? undefined : String(apk.buildDate)],
    ['c', first('commit')],
    ['k', first('provider_priority')],
    ['D', all('depend')],
    ['p', all('provides')],
    ['i', all('install_if')],
  ];
  return lines
    .filter(([, value]) => value !== undefined)
    .map(([field, value]) => `${field}:${value}`)
    .join('\n');
}

/** A dependency as apk writes it again: `a=~1` and `a~=1` are `a~1`, `a=>1` is `a>=1`. */
const normalize = (item: string): string =>
  item.replace(/=~|~=/, '~').replace(/=([<>])/, (_, relation: string) => `${relation}=`);
