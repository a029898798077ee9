import { execFileSync } from 'node:child_process';
import { chownSync, cpSync, mkdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';

/** Nobody of this machine's. */
const uid = 54_321;
const firstSubordinate = 3_000_000_000;

/** How a script of npm's ended. */
export interface Ended {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/** A user without any rights, known to the programs that run as him and to nothing else on this machine. */
export interface OrdinaryUser {
  name: string;
  uid: number;
  /** The uid and the first subordinate ones, as the machine sees them. */
  ids: readonly number[];
  /** Program and arguments that run another program as him. */
  under: readonly string[];
  /** Gives him a directory, which may exist, with all that is in it. */
  own(directory: string): Promise<void>;
}

/**
 * Makes files in `directory` (absolute) that stand for /etc/passwd and the like in a mount namespace of their own. `ids`:
 * how many subordinate ids he has.
 */
export function makeOrdinaryUser(directory: string, ids = 65_536): OrdinaryUser {
  const home = join(directory, 'home');
  mkdirSync(home, { recursive: true });
  chownSync(home, uid, uid);
  const name = 'ann';
  const range = `root:1:1\n${ids === 0 ? '' : `${name}:${firstSubordinate}:${ids}\n`}`;
  const files = {
    passwd: `${readFileSync('/etc/passwd', 'utf8')}${name}:x:${uid}:${uid}::${home}:/bin/sh\n`,
    group: `${readFileSync('/etc/group', 'utf8')}${name}:x:${uid}:\n`,
    subuid: range,
    subgid: range,
  };
  for (const [file, text] of Object.entries(files)) writeFileSync(join(directory, file), text);
  const enter = `for name in ${Object.keys(files).join(' ')}; do
    [ -e /etc/$name ] || : >/etc/$name
    mount --bind "$0/$name" /etc/$name
  done
  HOME=${home} exec setpriv --reuid=${uid} --regid=${uid} --clear-groups "$@"`;
  return {
    name,
    uid,
    ids: [uid, ...Array.from({ length: Math.min(ids, 1000) }, (_, index) => firstSubordinate + index)],
    under: ['unshare', '--mount', 'sh', '-e', '-c', enter, directory],
    own: async (path) => {
      mkdirSync(path, { recursive: true });
      await execa('chown', ['--recursive', `${uid}:${uid}`, path]);
    },
  };
}

/** The part of a checkout that npm's scripts need, in `directory` (made here), readable by everybody. `layers`: instead of its own. */
export function copyCheckout(directory: string, layers?: string): void {
  const checkout = join(import.meta.dirname, '../..');
  for (const name of ['dist', 'scripts', 'src', 'layouts', 'overlays', 'package-lock.json', 'package.json']) {
    const from = name === 'overlays' && layers !== undefined ? layers : join(checkout, name);
    cpSync(from, join(directory, name), {
      recursive: true,
      verbatimSymlinks: true,
      preserveTimestamps: true,
    });
  }
  execFileSync('chmod', ['--recursive', 'a+rX', directory]);
  // Nothing is to be bundled there: node_modules is missing.
  utimesSync(join(directory, 'dist/treeline.mjs'), new Date(), new Date());
}

/** Runs what `npm run SCRIPT -- OPTIONS` runs in a checkout. */
export async function runIn(
  checkout: string,
  [script, ...options]: readonly string[],
  { under = [] }: { under?: readonly string[] } = {},
): Promise<Ended> {
  const [program, ...args] = [
    ...under,
    process.execPath,
    join(checkout, `scripts/${script}.mjs`),
    ...options,
  ];
  const ended = await execa(program!, args, { cwd: '/', reject: false, stdin: 'ignore' });
  return { exitCode: ended.exitCode ?? 255, stdout: ended.stdout, stderr: ended.stderr };
}
