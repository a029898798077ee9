import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import type { Command } from './command.ts';
import { TreelineError } from './errors.ts';

export interface HeldLock {
  release(): Promise<void>;
}

/**
 * Takes the workspace for one build; the lock file's directory exists. The lock is flock(2)'s, held by a small child
 * that ends with us, so a build that was killed leaves nothing to clean up. `farewell`: what that child runs at the
 * end, however the build ended, before another one can begin. Throws TreelineError 'busy' where another build holds it.
 */
export async function takeLock(
  path: string,
  doing: string,
  farewell: Pick<Command, 'program' | 'args'> = { program: 'true', args: [] },
): Promise<HeldLock> {
  const holder = execa(
    'flock',
    [
      ...['--nonblock', '--conflict-exit-code', '75', path],
      ...['sh', '-c', 'echo held; cat; exec "$@" >/dev/null 2>&1', 'sh', farewell.program, ...farewell.args],
    ],
    {
      stdin: 'pipe',
      reject: false,
      buffer: false,
      detached: true,
    },
  );
  const ended = holder.then((result) => result.exitCode ?? 1);
  const held = await Promise.race([once(holder.stdout, 'data').then(() => true), ended.then(() => false)]);
  if (!held) {
    const code = await ended;
    if (code !== 75) throw new TreelineError('host', `Cannot lock ${path}: flock failed (exit code ${code})`);
    throw new TreelineError(
      'busy',
      `Cannot ${doing}: another build uses this workspace (${readOwner(path)})`,
      {
        hint: 'Wait for it, or use another one with --workspace DIR.',
      },
    );
  }
  try {
    writeFileSync(path, `process ${process.pid}, ${doing}, since ${new Date().toISOString()}\n`);
  } catch {
    // On a full disk the words are lost; the lock is not.
  }
  return {
    async release() {
      holder.stdin.end();
      await ended;
    },
  };
}

function readOwner(path: string): string {
  return readFileSync(path, 'utf8').trim() || 'its process is not known';
}
