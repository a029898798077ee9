import { expectInteger, expectName } from './names.ts';
import { Refusal } from './refusal.ts';

/** One package in an index. */
export interface IndexEntry {
  name: string;
  version: string;
  /** The repository's, for `noarch` packages too. */
  architecture: string;
  /** Bytes of the .apk file. */
  size: number;
  /** `Q1` and the base64 of the SHA-1 over the compressed control member. */
  checksum: string;
  /** Seconds since 1970; 0 where it is not stated. */
  buildDate: number;
  /** As apk writes them, e.g. `so:libc.musl-x86_64.so.1`, `openrc>=0.24.1-r6`, `!uclibc`. */
  dependencies: string[];
  provides: string[];
  /** Its lines as they stand in the index, without the empty line behind them. */
  text: string;
}

/** Reads the lines of one package (`X:value`). Throws a Refusal that names the package for what is missing or not possible. */
export function readIndexEntry(text: string): IndexEntry {
  const fields = new Map<string, string>();
  for (const line of text.split('\n')) {
    if (line[1] !== ':') throw new Refusal(`it has the line ${JSON.stringify(line.slice(0, 80))}`);
    const field = line.charAt(0);
    // Where a field stands twice, readers differ in which of them counts.
    if (fields.has(field))
      throw new Refusal(`a package in it has the field ${field} twice: ${line.slice(0, 80)}`);
    fields.set(field, line.slice(2));
  }
  const need = (field: string): string => {
    const value = fields.get(field);
    if (value !== undefined) return value;
    throw new Refusal(`the package ${fields.get('P') ?? 'without a name'} in it has no field ${field}`);
  };
  const list = (field: string): string[] =>
    (fields.get(field) ?? '').split(' ').filter((item) => item !== '');
  const checksum = need('C');
  if (!/^Q1[A-Za-z0-9+/]{27}=$/.test(checksum)) {
    throw new Refusal(
      `a package in it has the checksum ${JSON.stringify(checksum)}, which is no SHA-1 (Q1…)`,
    );
  }
  return {
    name: expectName('name', need('P')),
    version: expectName('version', need('V')),
    architecture: expectName('architecture', need('A')),
    size: expectInteger('size', need('S')),
    checksum,
    buildDate: expectInteger('build date', fields.get('t') ?? '0'),
    dependencies: list('D'),
    provides: list('p'),
    text,
  };
}
