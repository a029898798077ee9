/**
 * How apk is spoken to, what it says, and where it keeps what it knows: apk-tools 2.14, and 3 as far as its documentation
 * goes. Where another version differs, this is the place.
 */

/** Options before every command. All paths are those that apk sees. */
export const globalOptions = (paths: {
  root: string;
  keys: string;
  repositories: string;
  architecture: string;
}): string[] => [
  ...['--root', paths.root, '--keys-dir', paths.keys, '--repositories-file', paths.repositories],
  ...['--arch', paths.architecture, '--no-cache', '--no-progress'],
];

/** A package that `apk add --simulate` would install. */
export interface ChosenPackage {
  name: string;
  version: string;
  /** Of the repository that it comes from; empty: of one without a tag. */
  tag: string;
}

/** Lines like `(12/62) Installing NAME (VERSION)`, with NAME@TAG for what comes from a tagged repository. */
export const chosenIn = (output: string): ChosenPackage[] =>
  [...output.matchAll(/^\(\s*\d+\/\d+\) Installing ([^\s@]+)(?:@(\S+))? \((\S+)\)$/gm)].map(
    ([, name, tag = '', version]) => ({ name: name!, version: version!, tag }),
  );

/** What went wrong, in apk's words: version 2 exits with 0 although a script or trigger failed. */
export const failuresIn = (output: string): string[] =>
  [...output.matchAll(/^(?:ERROR: (.*)|(.*can't create \/dev\/null.*))$/gm)].map(
    ([, error, script]) => (error ?? script)!,
  );

/** Below the root: the list of installed packages. */
export const installedDatabase = 'lib/apk/db/installed';

/** Below the root: files that tell when or by whom something was installed, not what. */
export const transientFiles: readonly string[] = ['lib/apk/db/lock', 'var/log/apk.log'];

/** Below the root: packages' scripts, a tar archive (ustar). */
export const scriptsArchive = 'lib/apk/db/scripts.tar';

/** The installed packages by name: records of `X:value` lines with an empty line between them. */
export function installedIn(database: string): Map<string, { version: string; checksum: string }> {
  const installed = new Map<string, { version: string; checksum: string }>();
  for (const record of database.split('\n\n')) {
    const field = (letter: string): string | undefined =>
      new RegExp(`^${letter}:(.*)$`, 'm').exec(record)?.[1];
    const name = field('P');
    if (name !== undefined) installed.set(name, { version: field('V') ?? '', checksum: field('C') ?? '' });
  }
  return installed;
}
