import { join } from 'node:path';
import { z } from 'zod';
import { TreelineError } from '../../host/errors.ts';
import {
  makeDirectory,
  readTextIfExists,
  remove,
  sha256,
  temporaryDirectory,
  writeFileAtomically,
} from '../../host/files.ts';
import type { Host } from '../../host/host.ts';
import type { Lock, LockedPackage, Recipe } from '../../model.ts';
import type { PackageOptions } from '../backend.ts';
import { lockedPackage as lockedPackageSchema, makeLock } from '../lock.ts';
import { chosenIn } from './dialect.ts';
import { fetchPackages } from './fetch.ts';
import type { IndexEntry } from './formats/index-file.ts';
import { openIndexes } from './indexes.ts';
import type { IndexedRepository } from './indexes.ts';
import { runApk } from './program.ts';
import { writeStandIn } from './stand-in.ts';
import { chooseTools, lockedPackage, unpackTools } from './tools.ts';
import { unresolvable } from './unresolvable.ts';
import { openWorkspaceKey } from './workspace-key.ts';
import { standIn, worldOf } from './world.ts';

const answerSchema = z.object({
  packages: z.array(lockedPackageSchema),
  tools: z.array(lockedPackageSchema),
});
type Answer = z.infer<typeof answerSchema>;

/**
 * Recipe → Lock with apk's own resolver, from the indexes alone. The answer is kept, keyed by the question and the state
 * of the indexes. Throws 'network', or 'package' for what cannot be installed or does not verify.
 */
export async function resolveApks(host: Host, recipe: Recipe, options: PackageOptions): Promise<Lock> {
  const indexes = await openIndexes(host, recipe, options);
  const question = JSON.stringify([
    indexes.state,
    recipe.distribution,
    worldOf(recipe),
    recipe.provided.map(({ name }) => name),
  ]);
  const file = join(indexes.directory, 'locks', `${sha256(question)}.json`);
  const known = parseAnswer(await readTextIfExists(file));
  if (known !== undefined) return makeLock(recipe.distribution, known);
  const answer = await ask(host, recipe, { repositories: indexes.read(), offline: options.offline });
  await writeFileAtomically(file, JSON.stringify(answer));
  return makeLock(recipe.distribution, answer);
}

/** A damaged answer is none: apk is asked again. */
function parseAnswer(text: string | undefined): Answer | undefined {
  try {
    return text === undefined ? undefined : answerSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

async function ask(
  host: Host,
  recipe: Recipe,
  { repositories, offline }: { repositories: readonly IndexedRepository[]; offline: boolean },
): Promise<Answer> {
  const tools = chooseTools(repositories);
  const program = await unpackTools(
    host,
    await fetchPackages(host, tools, { repositories, recipe, offline, stage: 'resolve' }),
  );
  const scratch = await temporaryDirectory(host.workspace.temporary, 'resolve');
  try {
    const root = join(scratch, 'root');
    await makeDirectory(root);
    const key = await openWorkspaceKey(host.workspace);
    const own = await writeStandIn(join(scratch, standIn), recipe, key);
    const call = {
      program,
      root,
      keys: [...repositories.flatMap(({ keys }) => keys), key.public],
      architecture: recipe.distribution.architecture,
      scratch,
    };
    // Without a database there is nothing that apk could pretend to change.
    await runApk(host, { ...call, repositories: [], args: ['--initdb', 'add'] });
    const output = await runApk(host, {
      ...call,
      repositories: [...repositories, ...own],
      args: ['--simulate', 'add', ...worldOf(recipe)],
    });
    if (output.exitCode !== 0) throw unresolvable(recipe, output);
    return { packages: chosenPackages(output.stdout, repositories), tools };
  } finally {
    await remove(scratch);
  }
}

function chosenPackages(output: string, repositories: readonly IndexedRepository[]): LockedPackage[] {
  const offers = offersByIdentity(repositories);
  return chosenIn(output).flatMap(({ name, version, tag }) => {
    if (name === standIn) return [];
    const offer = offers.get(`${name} ${version} ${tag}`) ?? offers.get(`${name} ${version} `);
    if (offer !== undefined) return [lockedPackage(offer)];
    throw new TreelineError('package', `Cannot lock ${name} ${version}: apk chose it, but no index has it`, {
      hint: 'Run the same command again with --refresh.',
    });
  });
}

/** What each repository has by `NAME VERSION TAG`; a package that several of one tag, or of none, have comes from the first. */
function offersByIdentity(
  repositories: readonly IndexedRepository[],
): Map<string, { entry: IndexEntry; source: string }> {
  const offers = new Map<string, { entry: IndexEntry; source: string }>();
  for (const { name: source, tag = '', entries } of repositories.toReversed()) {
    for (const entry of entries) offers.set(`${entry.name} ${entry.version} ${tag}`, { entry, source });
  }
  return offers;
}
