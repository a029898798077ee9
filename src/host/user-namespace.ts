import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { constants, homedir } from 'node:os';
import type { Duplex } from 'node:stream';
import { execa } from 'execa';
import { minimalEnvironment } from './environment.ts';
import { TreelineError } from './errors.ts';
import type { Lack, RootlessFacts } from './rootless.ts';
import { appArmorLack, currentUser, findLacks, readRootlessFacts } from './rootless.ts';
import type { HostUser } from './subordinate-ids.ts';
import { findRange, neededIds } from './subordinate-ids.ts';

/** Whether this process has ids of its own, as in some containers: no device node can be made then, whatever the uid. */
export function inUserNamespace(): boolean {
  const [inside, outside, count] = readFileSync('/proc/self/uid_map', 'utf8').trim().split(/\s+/).map(Number);
  return inside !== 0 || outside !== 0 || count !== 2 ** 32 - 1;
}

/**
 * Runs this process's own command line again, where it is root: in a user namespace of its own, uid and gid 0 being the user’s
 * and 1 to 65535 those of the range in /etc/subuid and /etc/subgid; see user_namespaces(7). Standard streams, terminal,
 * environment and working directory are the same; signals are handed on; it ends with this process. Resolves to its exit
 * code (128 + number where a signal ended it). `doing`: a verb, for errors. Throws TreelineError 'host' with
 * all that the machine lacks.
 */
export function runInUserNamespace(doing: string): Promise<number> {
  const { execPath, execArgv, argv } = process;
  return runMapped(doing, requireFacts(doing, currentUser()), [execPath, ...execArgv, ...argv.slice(1)]);
}

/** Throws as `runInUserNamespace` would for this user; without a trial where it is not the one who asks. */
export async function checkUserNamespace(doing: string, user: HostUser): Promise<void> {
  const facts = requireFacts(doing, user);
  if (user.uid === process.getuid!()) await runMapped(doing, facts, ['true']);
}

function requireFacts(doing: string, user: HostUser): RootlessFacts {
  const facts = readRootlessFacts(user);
  const lacks = findLacks(facts);
  if (lacks.length > 0) throw cannotStart(doing, facts, { lacks });
  return facts;
}

async function runMapped(doing: string, facts: RootlessFacts, command: readonly string[]): Promise<number> {
  const child = spawn('sh', ['-c', makeNamespace(facts.user.uid), ...command], {
    stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
    // Inside, the account's home would be root's.
    env: { ...process.env, HOME: process.env['HOME'] ?? homedir() },
  });
  const forget = handSignalsOn((signal) => child.kill(signal));
  try {
    const ended = new Promise<number>((resolve, reject) => {
      child.on('error', reject);
      child.on('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal!]));
    });
    const dialogue = openDialogue(child.stdio[3] as Duplex);
    if (await dialogue.has('made')) {
      await mapIds(child.pid!, facts).catch((error: unknown) => {
        child.kill('SIGKILL');
        throw cannotStart(doing, facts, { output: (error as Error).message });
      });
      dialogue.say('mapped');
      if (await dialogue.has('started')) return await ended;
    }
    await ended;
    throw cannotStart(doing, facts, { lacks: appArmorLack(facts), output: dialogue.rest() });
  } finally {
    forget();
  }
}

/**
 * A script that runs "$0" "$@" there. Descriptor 3 leads outside, to who has the right to map ids (newuidmap is setuid) and is told
 * of what fails before the start; 4 keeps standard error meanwhile. The second unshare is also the trial: it needs rights in
 * the namespace.
 */
const makeNamespace = (uid: number): string => `exec 4>&2 2>&3
exec unshare --user sh -c '
	echo made >&3
	read -r _ <&3 || exit 1
	exec unshare --mount setpriv --pdeathsig KILL sh -c '\\''
		${reachAgent(uid)}
		echo started >&3
		exec 2>&4 3>&- 4>&-
		exec "$0" "$@"
	'\\'' "$0" "$@"
' "$0" "$@"`;

/** gpg looks for its user's agent in /run/user/UID, and the uid is 0 now. */
const reachAgent = (uid: number): string => `(
			cd /run/user/${uid} 2>/dev/null &&
				mount -t tmpfs -o mode=0755 tmpfs /run/user && mkdir /run/user/0 && ln -s 0 /run/user/${uid} &&
				mount --no-canonicalize --bind . /run/user/0
		)`;

/** Gives the namespace of a process its ids. Throws with the program's own words. */
async function mapIds(pid: number, { user, users, groups }: RootlessFacts): Promise<void> {
  const maps = [
    { program: 'newuidmap', own: user.uid, range: findRange(users, user)! },
    { program: 'newgidmap', own: process.getgid!(), range: findRange(groups, user)! },
  ];
  for (const { program, own, range } of maps) {
    const ids = [0, own, 1, 1, range.first, neededIds - 1].map(String);
    const { exitCode, stderr } = await execa(program, [String(pid), ...ids], {
      env: minimalEnvironment(),
      extendEnv: false,
      reject: false,
    });
    if (exitCode !== 0) throw new Error(stderr);
  }
}

/** What is said over descriptor 3: words on lines of their own. */
function openDialogue(stream: Duplex) {
  const heard = { text: '', closed: false, notice: (): void => {} };
  stream.setEncoding('utf8').on('data', (part: string) => {
    heard.text += part;
    heard.notice();
  });
  // Without a listener, an error of a side that has gone would be ours.
  for (const event of ['error', 'close']) {
    stream.on(event, () => {
      heard.closed = true;
      heard.notice();
    });
  }
  return {
    /** Whether the word comes before the other side closes. */
    async has(word: string): Promise<boolean> {
      const found = (): boolean => heard.text.split('\n').includes(word);
      while (!found() && !heard.closed) await new Promise<void>((resolve) => (heard.notice = resolve));
      return found();
    },
    say: (word: string): void => void stream.write(`${word}\n`),
    /** What was said besides those words. */
    rest: (): string => heard.text.replaceAll(/^(made|started)$\n?/gm, '').trim(),
  };
}

/**
 * Ctrl-C reaches both processes, but `kill` only this one. So what comes here is handed on as SIGTERM: the other one ends
 * at once only where the same signal comes twice.
 */
function handSignalsOn(hand: (signal: NodeJS.Signals) => void): () => void {
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  const onSignal = (): void => hand('SIGTERM');
  for (const name of signals) process.on(name, onSignal);
  return () => {
    for (const name of signals) process.off(name, onSignal);
  };
}

function cannotStart(
  doing: string,
  { user }: RootlessFacts,
  { lacks = [], output }: { lacks?: readonly Lack[]; output?: string },
): TreelineError {
  const missing = lacks.map(({ what }) => what).join('; ');
  const reason = missing === '' ? 'no user namespace could be set up' : `this machine lacks ${missing}`;
  const mend = lacks.map(({ command }) => `\n        ${command}`).join('');
  const hint =
    mend === ''
      ? 'Run the same command as root (sudo), or in a virtual machine or container of your own. See docs/rootless.md.'
      : `As root, once:${mend}\n      Or run the command itself as root (sudo). See docs/rootless.md.`;
  return new TreelineError('host', `Cannot ${doing} as ${user.name}: ${reason}`, {
    hint,
    output,
  });
}
