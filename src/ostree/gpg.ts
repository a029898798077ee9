import { TreelineError } from '../host/errors.ts';
import type { Host } from '../host/host.ts';

/** A GnuPG home directory, absolute, and what gpg and its agent need of the caller's environment. */
export interface GnupgHome {
  home: string;
  environment: Readonly<Record<string, string>>;
}

/** A key as `gpg --with-colons` lists it (doc/DETAILS of GnuPG). */
export interface ListedKey {
  /** 40 hexadecimal digits, of the primary key. */
  fingerprint: string;
  /** `e` expired, `r` revoked, `d` disabled, `i` invalid; anything else can be used. */
  validity: string;
  /** Seconds since 1970. */
  created: number;
  /** Whether it, or one of its subkeys, may sign data. */
  canSign: boolean;
  userIds: readonly string[];
}

/** The keys with a secret half, here or in the hand of the agent, that `wanted` names; all of the home where it is absent. */
export async function listSecretKeys(
  host: Host,
  { home, environment }: GnupgHome,
  wanted?: string,
): Promise<ListedKey[]> {
  return listKeys(host, { home, environment }, [
    '--list-secret-keys',
    ...(wanted === undefined ? [] : ['--', wanted]),
  ]);
}

/** `selection`: a listing command of gpg and its arguments. What gpg does not find is an empty list. Throws 'command' where it cannot look. */
export async function listKeys(
  host: Host,
  { home, environment }: GnupgHome,
  selection: readonly string[],
): Promise<ListedKey[]> {
  const { stdout, stderr, exitCode } = await host.run({
    program: 'gpg',
    args: ['--homedir', home, '--batch', '--with-colons', '--fixed-list-mode', ...selection],
    env: { ...environment },
    accept: [0, 2],
    doing: 'list the signing keys',
  });
  // 2 also stands for a full disk, or a home that cannot be read.
  if (exitCode !== 0 && !/No (secret|public) key|not found/i.test(stderr)) {
    throw new TreelineError('command', 'Cannot list the signing keys: gpg failed (exit code 2)', {
      hint: `Can ${home} be read and written?`,
      output: stderr.trim(),
    });
  }
  return parseKeys(stdout);
}

/** Pure: the primary keys of a listing with colons. */
export function parseKeys(text: string): ListedKey[] {
  const keys: { -readonly [Field in keyof ListedKey]: ListedKey[Field] }[] = [];
  for (const fields of text.split('\n').map((line) => line.split(':'))) {
    const key = keys.at(-1);
    if (fields[0] === 'sec' || fields[0] === 'pub') {
      keys.push({
        fingerprint: '',
        validity: fields[1]!,
        created: Number(fields[5]),
        // Capital letters tell of the key with all its subkeys.
        canSign: fields[11]!.includes('S'),
        userIds: [],
      });
    } else if (key !== undefined && fields[0] === 'fpr' && key.fingerprint === '') {
      key.fingerprint = fields[9]!;
    } else if (key !== undefined && fields[0] === 'uid') {
      key.userIds = [...key.userIds, fields[9]!];
    }
  }
  return keys;
}

/** Runs gpg and returns what it prints. */
export async function gpg(
  host: Host,
  { home, environment }: GnupgHome,
  args: readonly string[],
): Promise<string> {
  const output = await host.run({
    program: 'gpg',
    args: ['--homedir', home, '--batch', ...args],
    env: { ...environment },
    doing: 'use the signing key',
  });
  return output.stdout;
}
