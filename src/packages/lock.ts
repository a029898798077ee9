import { z } from 'zod';
import { TreelineError } from '../host/errors.ts';
import { readTextIfExists, sha256 } from '../host/files.ts';
import { knownNamesHint } from '../host/nearest.ts';
import type { Distribution, Lock, LockedPackage, Recipe } from '../model.ts';

/** Puts packages into a lock: sorted, with the digest that names exactly this set. */
export function makeLock(
  distribution: Distribution,
  { packages, tools = [] }: { packages: readonly LockedPackage[]; tools?: readonly LockedPackage[] },
): Lock {
  const [sorted, sortedTools] = [packages, tools].map((list) => list.toSorted(byName)) as [
    LockedPackage[],
    LockedPackage[],
  ];
  const lines = [...sorted.map(identityOf), ...sortedTools.map((entry) => `tool ${identityOf(entry)}`)];
  return { distribution, packages: sorted, tools: sortedTools, digest: sha256(lines.join('')) };
}

const byName = (a: LockedPackage, b: LockedPackage): number =>
  a.name < b.name ? -1 : a.name > b.name ? 1 : 0;

const identityOf = ({ name, version, architecture, size, checksum }: LockedPackage): string =>
  `${name} ${version} ${architecture} ${size} ${checksum}\n`;

/** The locks of one or several images, by ref, as a file: JSON, one package a line. */
export function formatLocks(locks: ReadonlyMap<string, Lock>): string {
  const list = (name: string, entries: readonly LockedPackage[]): string => {
    const lines = entries.map((entry) => `        ${JSON.stringify(entry)}`);
    return `      "${name}": [${lines.length === 0 ? '' : `\n${lines.join(',\n')}\n      `}]`;
  };
  const images = [...locks]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([ref, lock]) => {
      const fields = [
        `      "distribution": ${JSON.stringify(lock.distribution)}`,
        `      "digest": "${lock.digest}"`,
        list('packages', lock.packages),
        list('tools', lock.tools),
      ];
      return `    "${ref}": {\n${fields.join(',\n')}\n    }`;
    });
  return `{\n  "format": 1,\n  "images": {\n${images.join(',\n')}\n  }\n}\n`;
}

/** What becomes a file name or a URL: no slashes, no blanks, no way up. */
const word = z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9._+:~-]*$/, 'must be one word without slashes');

/** One entry, as it is written. */
export const lockedPackage = z.strictObject({
  name: word,
  version: word,
  architecture: word,
  source: z.string().min(1),
  size: z.number().int().min(1),
  checksum: z.string().regex(/^(sha256:[0-9a-f]{64}|Q1[A-Za-z0-9+/]{27}=)$/, 'must be sha256:… or Q1…'),
});

const lockSchema = z.strictObject({
  distribution: z.strictObject({
    id: z.string(),
    name: z.string(),
    release: z.string(),
    codename: z.string(),
    packages: z.enum(['deb', 'apk']),
    architecture: z.string(),
  }),
  digest: z.string(),
  packages: z.array(lockedPackage),
  tools: z.array(lockedPackage),
});

const lockFileSchema = z.strictObject({ format: z.literal(1), images: z.record(z.string(), lockSchema) });

/** The locks of a file, by ref. Throws 'package' naming the file and what is wrong with it. */
export async function readLocks(path: string): Promise<Map<string, Lock>> {
  const refuse = (reason: string, cause?: unknown): never => {
    throw new TreelineError('package', `Cannot use the lock ${path}: ${reason}`, {
      hint: 'npm run lock writes a new one; lock.json beside the artifacts of a build is one, too.',
      cause,
    });
  };
  const text = await readTextIfExists(path);
  if (text === undefined) {
    return refuse(
      'there is no such file; --lock named it, now or when the image was built, or treeline.yaml does',
    );
  }
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch (cause) {
    return refuse(`it is not JSON (${(cause as Error).message})`, cause);
  }
  const { format } = (data ?? {}) as { format?: unknown };
  if (typeof format === 'number' && format !== 1) {
    return refuse(`it has format ${format}, and this version of Treeline reads format 1`);
  }
  const parsed = lockFileSchema.safeParse(data);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return refuse(`${issue!.path.join('.') || 'the file'}: ${issue!.message}`);
  }
  const locks = Object.entries(parsed.data.images).map(([ref, written]) => {
    const lock = makeLock(written.distribution, written);
    for (const list of [lock.packages, lock.tools]) {
      const twice = list.find(({ name }, index) => list[index + 1]?.name === name);
      if (twice !== undefined) refuse(`${twice.name} stands in it twice, for ${ref}`);
    }
    if (lock.digest !== written.digest) {
      refuse(`the digest of ${ref} is not that of its packages: it was changed by hand, or by a merge`);
    }
    return [ref, lock] as const;
  });
  return new Map(locks);
}

/** The lock of a recipe's image in a file. Throws 'package' where the file has none, or lacks a package that is asked for. */
export async function readLock(path: string, recipe: Recipe): Promise<Lock> {
  const locks = await readLocks(path);
  const lock = locks.get(recipe.ref);
  if (lock === undefined) {
    throw new TreelineError('package', `Cannot use the lock ${path}: it has no packages of ${recipe.ref}`, {
      hint: `${otherBase(recipe, [...locks.keys()]) ?? knownNamesHint(recipe.ref, [...locks.keys()])} npm run lock -- --target ${recipe.request.target} adds it.`,
    });
  }
  if (JSON.stringify(lock.distribution) !== JSON.stringify(recipe.distribution)) {
    const { name, release, packages } = lock.distribution;
    throw new TreelineError(
      'package',
      `Cannot use the lock ${path} for ${recipe.ref}: its packages are of ${name} ${release} (${packages})`,
      { hint: 'Make a new one with npm run lock.' },
    );
  }
  // apk compares for itself when it installs, and knows which package provides what is asked for.
  const names = new Set(lock.packages.map(({ name }) => name));
  const missing = recipe.packages.find(
    ({ name }) => recipe.distribution.packages === 'deb' && !names.has(name),
  );
  if (missing !== undefined) {
    throw new TreelineError(
      'package',
      `Cannot build ${recipe.ref} from the lock ${path}: it lacks ${missing.name}, which ${missing.origin.file} asks for`,
      {
        hint: 'The layers changed since the lock was made: make a new one with npm run lock, or take the change back.',
      },
    );
  }
  return lock;
}

/** Where the lock has the same image of another base, what to say. */
function otherBase({ request, ref }: Recipe, refs: readonly string[]): string | undefined {
  const end = `/${ref.split('/').slice(2).join('/')}`;
  const base = refs.find((other) => other.endsWith(end))?.split('/')[1];
  return base === undefined ? undefined : `It has ${base} for ${request.target}: --base ${base} uses that.`;
}
