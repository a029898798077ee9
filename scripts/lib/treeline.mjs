// Loads the program: bundled from src/ by esbuild, anew whenever a source is newer than the bundle.
import { existsSync, readdirSync, renameSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout. */
export const home = join(dirname(fileURLToPath(import.meta.url)), '../..');
const bundle = join(home, 'dist/treeline.mjs');

/** Runs one command of the program and leaves with its exit code. */
export async function treeline(...argv) {
  await bundleSources();
  const { main } = await import(bundle);
  process.exitCode = await main(argv, home);
}

/** Makes dist/treeline.mjs, unless it is newer than all it is made of. */
export async function bundleSources() {
  if (existsSync(bundle) && newest(join(home, 'src')) < statSync(bundle).mtimeMs) return;
  // By rename: another command may be loading it right now.
  const unfinished = `${bundle}.${process.pid}`;
  await bundleProgram(join(home, 'src/cli.ts'), unfinished);
  renameSync(unfinished, bundle);
}

/** One file for Node out of a TypeScript program and all that it imports. Paths are absolute. */
export async function bundleProgram(entry, outfile) {
  const { build } = await import('esbuild');
  await build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'warning',
    // Some of what we bundle is CommonJS and calls require().
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
  });
}

function newest(directory) {
  const times = readdirSync(directory, { withFileTypes: true }).map((entry) => {
    const path = join(directory, entry.name);
    // A directory's own time tells of files that went away.
    return entry.isDirectory() ? Math.max(newest(path), statSync(path).mtimeMs) : statSync(path).mtimeMs;
  });
  return Math.max(statSync(join(home, 'package-lock.json')).mtimeMs, ...times);
}
