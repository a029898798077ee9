// Loads the program: bundled from src/ by esbuild, anew whenever a source is newer than the bundle.
import { accessSync, constants, existsSync, readdirSync, renameSync, statSync } from 'node:fs';
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
  requireWritable(existsSync(dirname(bundle)) ? dirname(bundle) : home);
  // By rename: another command may be loading it right now.
  const unfinished = `${bundle}.${process.pid}`;
  await bundleProgram(join(home, 'src/cli.ts'), unfinished);
  renameSync(unfinished, bundle);
}

/** Ends the process where the bundle cannot be made there: after a command as root, or in somebody else's checkout. */
function requireWritable(directory) {
  try {
    accessSync(directory, constants.W_OK);
  } catch {
    console.error(`error: Cannot bundle the program: this user may not write into ${directory}`);
    console.error(
      `hint: Once as its owner: npm run explain, in ${home}. Where root made it: sudo chown -R "$USER" ${directory}`,
    );
    process.exit(1);
  }
}

/** One file for Node out of a TypeScript program and all that it imports. Paths are absolute. */
export async function bundleProgram(entry, outfile) {
  const { build } = await import('esbuild');
  await build({
    entryPoints: [entry],
    // Names of sources in the bundle are relative to this, and its bytes name this version of the code.
    absWorkingDir: home,
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
