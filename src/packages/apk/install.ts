import { join } from 'node:path';
import { TreelineError } from '../../host/errors.ts';
import { changeMode, makeDirectory, readText, remove } from '../../host/files.ts';
import type { Host } from '../../host/host.ts';
import type { LockedPackage, Recipe } from '../../model.ts';
import { pinAccounts } from './accounts.ts';
import { failuresIn, installedDatabase, installedIn } from './dialect.ts';
import type { FetchedPackage } from './fetch.ts';
import { writeRepository } from './local-repository.ts';
import { runApk } from './program.ts';
import type { ApkCall } from './program.ts';
import { writeStandIn } from './stand-in.ts';
import { unpackTools } from './tools.ts';
import { staleLockHint, unresolvableFromLock } from './unresolvable.ts';
import { openWorkspaceKey } from './workspace-key.ts';
import { standIn, untaggedWorldOf } from './world.ts';

/**
 * Installs exactly these packages into `root` (absolute, made here), as `apk add --root` does: scripts and triggers run
 * there, without network. Throws 'package' where they are not what the recipe needs, and where a script fails.
 */
export async function installApks(
  host: Host,
  job: {
    recipe: Recipe;
    packages: readonly FetchedPackage[];
    tools: readonly FetchedPackage[];
    root: string;
  },
): Promise<void> {
  const { recipe, packages, tools, root } = job;
  const { architecture } = recipe.distribution;
  const scratch = `${root}.apk`;
  await remove(scratch);
  await makeRoot(root);
  const key = await openWorkspaceKey(host.workspace);
  const directory = join(scratch, 'packages');
  await writeRepository(directory, packages, {
    architecture,
    key: key.signing,
    description: recipe.ref,
    share: true,
  });
  const own = await writeStandIn(join(scratch, standIn), recipe, key);
  const repositories = [{ name: 'packages', tag: undefined, directory }, ...own];
  const program = await unpackTools(host, tools);
  const call = { program, root, repositories, keys: [key.public], architecture, scratch };
  const world = untaggedWorldOf(recipe);
  await pinAccounts(root, recipe, {
    packages,
    install: (names) => add(host, recipe, { ...call, args: ['--initdb', 'add', ...names] }),
  });
  await add(host, recipe, { ...call, args: ['--initdb', 'add', ...world] });
  await compareWithLock(
    root,
    recipe,
    packages.map((file) => file.package),
  );
  await remove(scratch);
}

/** With the modes that packages give these: the sandbox covers both, so that apk cannot. */
async function makeRoot(root: string): Promise<void> {
  await makeDirectory(join(root, 'dev'));
  await makeDirectory(join(root, 'proc'));
  await changeMode(join(root, 'proc'), 0o555);
}

async function add(host: Host, recipe: Recipe, call: ApkCall): Promise<void> {
  const output = await runApk(host, call);
  const text = `${output.stdout}${output.stderr}`;
  if (/unable to select packages/.test(text)) throw unresolvableFromLock(recipe, output);
  const [failure] = failuresIn(text);
  if (output.exitCode === 0 && failure === undefined) return;
  const reason = failure ?? `apk failed (exit code ${output.exitCode})`;
  throw new TreelineError('package', `Cannot install the packages of ${recipe.ref}: ${reason}`, {
    hint: 'A script or trigger of a package failed, or a package does not fit: apk’s words are above. Its scripts run in the tree, without network.',
    output: text.trim(),
  });
}

/** Compares what apk has installed with what was locked; the first difference is told. */
async function compareWithLock(
  root: string,
  recipe: Recipe,
  locked: readonly LockedPackage[],
): Promise<void> {
  const installed = installedIn(await readText(join(root, installedDatabase)));
  const refuse = (reason: string): never => {
    throw new TreelineError('package', `Cannot build ${recipe.ref} from its lock: ${reason}`, {
      hint: staleLockHint,
    });
  };
  for (const { name, version, checksum } of locked) {
    const found = installed.get(name);
    if (found === undefined) refuse(`it has ${name} ${version}, which the layers do not ask for`);
    else if (found.checksum !== checksum)
      refuse(`it has ${name} ${version}, but ${found.version} was installed`);
  }
  const surplus = [...installed.keys()].find(
    (name) => name !== standIn && locked.every((entry) => entry.name !== name),
  );
  if (surplus !== undefined) refuse(`${surplus} was installed, which it does not have`);
}
