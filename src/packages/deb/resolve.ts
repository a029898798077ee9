import { join } from 'node:path';
import { z } from 'zod';
import type { CommandOutput } from '../../host/command.ts';
import { TreelineError } from '../../host/errors.ts';
import {
  fileSha256,
  listNames,
  readTextIfExists,
  sha256,
  writeFile,
  writeFileAtomically,
} from '../../host/files.ts';
import type { Host } from '../../host/host.ts';
import type { Lock, LockedPackage, Recipe } from '../../model.ts';
import { absolutePlace } from '../../recipe/problems.ts';
import type { PackageOptions } from '../backend.ts';
import { makeLock } from '../lock.ts';
import type { Apt } from './apt.ts';
import { openApt } from './apt.ts';

/** Package lists younger than this (seconds) are used as they are, unless a refresh is asked for. */
const listsStayFresh = 3600;

/** Recipe → Lock with apt's own resolver. The answer is kept, keyed by the question and the package lists' state. */
export async function resolveDebs(host: Host, recipe: Recipe, options: PackageOptions): Promise<Lock> {
  const mirrors = options.mirrors.length > 0 ? options.mirrors : recipe.settings.mirrors;
  const apt = await openApt(host, recipe, mirrors);
  await refreshLists(apt, recipe, options);
  const question = JSON.stringify([
    recipe.distribution,
    recipe.packages.map((entry) => entry.name),
    recipe.provided.map((entry) => entry.name),
    await listsState(apt),
  ]);
  const answer = join(apt.directory, 'locks', `${sha256(question)}.json`);
  const known = parseAnswer(await readTextIfExists(answer));
  if (known !== undefined) return makeLock(recipe.distribution, { packages: known });
  const packages = await simulate(apt, recipe);
  await writeFileAtomically(answer, JSON.stringify(packages));
  return makeLock(recipe.distribution, { packages });
}

/** A damaged answer is none: apt is asked again. */
function parseAnswer(text: string | undefined): LockedPackage[] | undefined {
  try {
    return text === undefined ? undefined : answerSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

const answerSchema = z.array(
  z.strictObject({
    name: z.string(),
    version: z.string(),
    architecture: z.string(),
    source: z.string(),
    size: z.number(),
    checksum: z.string().regex(/^sha256:[0-9a-f]{64}$/),
  }),
);

async function refreshLists(apt: Apt, recipe: Recipe, { offline, refresh }: PackageOptions): Promise<void> {
  const stamp = join(apt.directory, 'refreshed');
  const refreshedAt = Number(await readTextIfExists(stamp));
  const age = Date.now() / 1000 - refreshedAt;
  if (offline) {
    if (refreshedAt > 0) return;
    throw new TreelineError(
      'network',
      `Cannot build ${recipe.ref} offline: this workspace has no package lists yet`,
      {
        hint: 'Build once without --offline; after that, --offline works from the cache.',
      },
    );
  }
  if (!refresh && age >= 0 && age < listsStayFresh) return;
  try {
    await apt.run('apt-get', ['update', '--quiet=2']);
  } catch (cause) {
    if (!(cause instanceof TreelineError) || cause.code !== 'command') throw cause;
    const from =
      apt.sourceList === '' ? "this machine's apt sources" : await readTextIfExists(apt.sourceList);
    throw new TreelineError(
      'network',
      `Cannot fetch the package lists of ${recipe.distribution.name} from ${from?.trim()}`,
      {
        hint: 'Check the network, name another mirror with --mirror URL, or build from what was fetched before with --offline.',
        output: cause.output,
        cause,
      },
    );
  }
  await writeFile(stamp, String(Math.floor(Date.now() / 1000)));
}

/** Changes whenever the archive published something new: hashes of the release files, or of the lists that have none. */
async function listsState(apt: Apt): Promise<string[]> {
  const lists = join(apt.directory, 'lists');
  const names = await listNames(lists);
  const releases = names.filter((name) => name.endsWith('Release'));
  const covered = releases.map((name) => name.replace(/(In)?Release$/, ''));
  // A flat repository that is trusted as it is (`deb [trusted=yes] …`) need not have a release file.
  const bare = names.filter(
    (name) => /_Packages(\.\w+)?$/.test(name) && !covered.some((prefix) => name.startsWith(prefix)),
  );
  return Promise.all(
    [...releases, ...bare].map(async (name) => `${name} ${await fileSha256(join(lists, name))}`),
  );
}

async function simulate(apt: Apt, recipe: Recipe): Promise<LockedPackage[]> {
  const wanted = recipe.packages.map((entry) => entry.name);
  if (wanted.length === 0) return [];
  const hash = ['--option', 'Acquire::ForceHash=SHA256'];
  const answer = await apt.run(
    'apt-get',
    ['install', '--print-uris', '--quiet', ...hash, ...wanted],
    [0, 100],
  );
  if (answer.exitCode !== 0) throw unresolvable(recipe, answer);
  return parseUris(answer.stdout);
}

/** Lines of `apt-get --print-uris`: 'URI' file-name size SHA256:hash. Throws 'package' where the hash is missing. */
export function parseUris(text: string): LockedPackage[] {
  return text.split('\n').flatMap((line) => {
    const match = /^'([^']+)' (\S+)_(\S+)_(\S+)\.deb (\d+)(?: SHA256:([0-9a-f]{64}))?/.exec(line);
    if (!match) return [];
    const [, source, name, version, architecture, size, hash] = match;
    if (hash === undefined) {
      throw new TreelineError('package', `Cannot use ${name} from ${source}: its index has no SHA-256`, {
        hint: 'Use a mirror whose Packages files carry SHA256 fields, as Debian’s do.',
      });
    }
    return [
      {
        name: name!,
        version: decodeURIComponent(version!),
        architecture: architecture!,
        source: source!,
        size: Number(size),
        checksum: `sha256:${hash}`,
      },
    ];
  });
}

function unresolvable(recipe: Recipe, { stdout, stderr }: CommandOutput): TreelineError {
  const missing = [
    ...stderr.matchAll(/Unable to locate package (\S+)|Package '([^']+)' has no installation candidate/g),
  ];
  const names = [...new Set(missing.map((match) => (match[1] ?? match[2])!))];
  if (names.length === 0) {
    return new TreelineError(
      'package',
      `Cannot install the packages of ${recipe.ref}: they do not fit together`,
      {
        hint: 'npm run explain shows which layer asks for which package.',
        // apt tells which package needs which version on its standard output.
        output: `${stdout}${stderr}`.trim(),
      },
    );
  }
  const blame = names.map((name) => {
    const origin = recipe.packages.find((entry) => entry.name === name)?.origin;
    return origin ? `${name} (asked for by ${absolutePlace(origin)})` : name;
  });
  const { name, release } = recipe.distribution;
  return new TreelineError(
    'package',
    `Cannot install ${blame.join(', ')}: ${name} ${release} has no such package`,
    {
      hint: 'Correct the name, or remove the line. New packages appear after --refresh.',
    },
  );
}
