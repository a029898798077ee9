import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { build } from 'esbuild';
import { expect, it, onTestFinished } from 'vitest';
import { takeLock } from '../../src/host/lock.ts';
import { errorOf, temporaryDirectory } from '../helpers/host.ts';

it('refuses the second holder with the process and the work of the first', async () => {
  const path = join(temporaryDirectory(), 'lock');
  const first = await takeLock(path, 'build');
  const error = await errorOf(takeLock(path, 'build an update'));
  expect(error.code).toBe('busy');
  expect(error.message).toMatch(
    new RegExp(
      `^Cannot build an update: another build uses this workspace \\(process ${process.pid}, build, since 20`,
    ),
  );
  expect(error.hint).toContain('--workspace');
  await first.release();
});

it('is free again once it was released', async () => {
  const path = join(temporaryDirectory(), 'lock');
  await (await takeLock(path, 'build')).release();
  const again = await takeLock(path, 'build');
  await expect(again.release()).resolves.toBeUndefined();
});

it('lets two workspaces be built at the same time', async () => {
  const directory = temporaryDirectory();
  const locks = await Promise.all(['a', 'b'].map((name) => takeLock(join(directory, name), 'build')));
  expect(locks).toHaveLength(2);
  await Promise.all(locks.map((lock) => lock.release()));
});

it('is free again once its holder was killed with SIGKILL', async () => {
  const directory = temporaryDirectory();
  const path = join(directory, 'lock');
  const holder = await startHolder(directory, path);
  const refused = await errorOf(takeLock(path, 'build'));
  expect(refused.message).toContain(`process ${holder.pid}, build by a child`);
  holder.kill('SIGKILL');
  await once(holder, 'exit');
  const lock = await retry(() => takeLock(path, 'build'));
  await lock.release();
});

/** A process of its own that holds the lock until it is killed. */
async function startHolder(directory: string, path: string) {
  const program = join(directory, 'holder.mjs');
  const lock = pathToFileURL(join(import.meta.dirname, '../../src/host/lock.ts')).pathname;
  const source = `import { takeLock } from ${JSON.stringify(lock)};
    await takeLock(${JSON.stringify(path)}, 'build by a child');
    console.log('held');
    setInterval(() => {}, 1000);`;
  const bundled = await build({
    stdin: { contents: source, resolveDir: import.meta.dirname, loader: 'ts' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    write: false,
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire('/');" },
  });
  writeFileSync(program, bundled.outputFiles[0]!.contents);
  const child = spawn(process.execPath, [program], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  return child;
}

/** The kernel closes a dead process's pipes in its own time. */
async function retry<T>(work: () => Promise<T>): Promise<T> {
  for (const end = Date.now() + 60_000; ;) {
    try {
      return await work();
    } catch (error) {
      if (Date.now() > end) throw error;
      await sleep(20);
    }
  }
}
