import type { CommandOutput } from '../../host/command.ts';
import { TreelineError } from '../../host/errors.ts';
import type { Recipe } from '../../model.ts';
import { absolutePlace } from '../../recipe/problems.ts';
import { withoutTag } from './world.ts';

/**
 * What apk says when it cannot install what is asked for, in words that name the layers:
 *
 *     ERROR: unable to select packages:
 *       nosuch (no such package):
 *         required by: world[nosuch]
 */
export function unresolvable(recipe: Recipe, { stdout, stderr }: CommandOutput): TreelineError {
  const output = `${stdout}${stderr}`.trim();
  const asked = missingFromWorld(output);
  const { name: distribution, release } = recipe.distribution;
  const untagged = [...output.matchAll(/world dependency '(\S+?)@(\S+)' does not exist/g)];
  if (untagged.length > 0) {
    const [, name, tag] = untagged[0]!;
    return new TreelineError(
      'package',
      `Cannot install ${blame(recipe, [name!])} from @${tag}: no repository has this tag`,
      { hint: 'The setting repositories of a layer gives them: {name: …, tag: …}.', output },
    );
  }
  if (!output.includes('unable to select packages')) {
    return new TreelineError('package', `Cannot install the packages of ${recipe.ref}: apk failed`, {
      hint: 'Its words are above. Build again with --refresh where an index may be damaged.',
      output,
    });
  }
  const masked = /^ +(\S+)-[^-\s]+-r\d+:\n +masked in: [^@\n]*@(\S+)\n +satisfies: [^\n]*world\[\1\b/m.exec(
    output,
  );
  if (asked.length === 0 && masked !== null) {
    const [, name, tag] = masked;
    return new TreelineError(
      'package',
      `Cannot install ${blame(recipe, [name!])}: only the repository with the tag ${tag} has it`,
      { hint: `Write ${name}@${tag} to take it from there.`, output },
    );
  }
  if (asked.length === 0) {
    return new TreelineError(
      'package',
      `Cannot install the packages of ${recipe.ref}: they do not fit together`,
      {
        hint: 'npm run explain shows which layer asks for which package.',
        output,
      },
    );
  }
  return new TreelineError(
    'package',
    `Cannot install ${blame(recipe, asked)}: ${distribution} ${release} has no such package`,
    {
      hint: 'Correct the name, or remove the line. New packages appear after --refresh; NAME@TAG takes one from a tagged repository.',
      output,
    },
  );
}

/** The same where the packages are those of a lock: what it lacks is told, not that the distribution lacks it. */
export function unresolvableFromLock(recipe: Recipe, output: CommandOutput): TreelineError {
  const text = `${output.stdout}${output.stderr}`.trim();
  const asked = missingFromWorld(text);
  const [, needed, by] = /^ +(\S+) \(no such package\):\n +required by: (\S+?)\[/m.exec(text) ?? [];
  if (asked.length === 0 && needed === undefined) return unresolvable(recipe, output);
  const lacking = asked.length > 0 ? blame(recipe, asked) : `${needed}, which ${by} needs`;
  return new TreelineError('package', `Cannot build ${recipe.ref} from its lock: it lacks ${lacking}`, {
    hint: staleLockHint,
    output: text,
  });
}

/** What to do where a lock and the layers do not fit together any more. */
export const staleLockHint =
  'The layers changed since the lock was made: make a new one with npm run lock, or take the change back.';

/** Names that layers ask for and no index has; apk breaks long lines of who requires one. */
function missingFromWorld(output: string): string[] {
  const missing = output.matchAll(
    /^ +(\S+) \(no such package\):\n +required by:([^\n]*(?:\n {10,}[^\n:]+$)*)/gm,
  );
  const asked = [...missing].flatMap(([, name, by]) =>
    by!.split(/\s+/).some((requirer) => requirer.startsWith(`world[${name}`)) ? [name!] : [],
  );
  return [...new Set(asked)];
}

/** Each name with the layer that asks for it. */
function blame(recipe: Recipe, names: readonly string[]): string {
  return names
    .map((name) => {
      const asking = recipe.packages.find((entry) => withoutTag(entry.name) === withoutTag(name));
      return asking === undefined ? name : `${name} (asked for by ${absolutePlace(asking.origin)})`;
    })
    .join(', ');
}
