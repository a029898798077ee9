// Commands of the benchmark, and their time.
import { spawnSync } from 'node:child_process';
import { dirname } from 'node:path';
import { execa } from 'execa';
import { fs } from 'zx';

/**
 * Runs a command and returns what it printed, without the newline at the end. `limit`: seconds; `name`: what the program is
 * called in messages. Throws an error whose message is one line: the program, and the last line that it said.
 */
export async function run(program, args, { cwd, env, limit, name = program } = {}) {
  const result = await execa(program, args, {
    ...(cwd === undefined ? {} : { cwd }),
    ...(env === undefined ? {} : { env }),
    stdin: 'ignore',
    ...(limit === undefined ? {} : { timeout: limit * 1000 }),
    reject: false,
    maxBuffer: 64 << 20,
  });
  if (result.timedOut) throw new Error(`${name} took more than ${limit} s`);
  if (result.failed) {
    const said = `${result.stderr ?? ''}`.trim().split('\n').at(-1) || result.shortMessage;
    throw new Error(`${name}: ${said.slice(0, 200)}`);
  }
  return result.stdout;
}

/** Seconds that it takes. */
export async function timed(work) {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
}

/**
 * Runs a command as root: as it is, or for an ordinary user in a namespace where the ids of the user's range are mapped,
 * as builds do. Only there can files be copied or removed that a build made.
 */
export function runAsRoot(program, args, options) {
  const [first, ...rest] = asRoot(program, ...args);
  return run(first, rest, { name: program, ...options });
}

const asRoot = (...command) =>
  process.getuid() === 0 ? command : ['unshare', '--map-root-user', '--map-auto', '--', ...command];

export const removeAll = (...paths) => runAsRoot('rm', ['-rf', '--', ...paths]);

/** A copy with owners, times, links and holes as they are, in the place of what is there. */
export async function copyTree(from, to) {
  await removeAll(to);
  await fs.ensureDir(dirname(to));
  await runAsRoot('cp', ['-a', from, to]);
}

/** Removal for the end of the process, where nothing is waited for. */
export function removeAllNow(path) {
  const [program, ...args] = asRoot('rm', '-rf', '--', path);
  spawnSync(program, args, { stdio: 'inherit' });
}
