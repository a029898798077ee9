import { proxyVariables } from '../../host/environment.ts';
import { join } from 'node:path';
import type { CommandOutput } from '../../host/command.ts';
import { makeDirectory, readTextIfExists, sha256, writeFile } from '../../host/files.ts';
import type { Host } from '../../host/host.ts';
import type { Recipe } from '../../model.ts';

/** A private apt: its own lists, caches and "installed" packages, the host's sources and keyring. */
export interface Apt {
  /** Absolute; all state lies below it. */
  directory: string;
  /** Absolute; empty where the host's own sources are used. */
  sourceList: string;
  run(
    program: 'apt-get' | 'apt-cache',
    args: readonly string[],
    accept?: readonly number[],
  ): Promise<CommandOutput>;
  /** Where `apt-get download` puts what it fetches. */
  archives: string;
}

/** `mirrors` in place of the host's own sources: a URL or directory each, or a whole sources.list line beginning with `deb`. */
export async function openApt(host: Host, recipe: Recipe, mirrors: readonly string[]): Promise<Apt> {
  const { distribution } = recipe;
  const identity = JSON.stringify([distribution.architecture, distribution.codename, mirrors]);
  const directory = join(host.workspace.cache, 'apt', sha256(identity).slice(0, 16));
  for (const part of ['lists/partial', 'archives', 'no-archives/partial', 'state', 'empty'])
    await makeDirectory(join(directory, part));
  const sourceList = mirrors.length === 0 ? '' : join(directory, 'sources.list');
  if (sourceList !== '') await writeIfChanged(sourceList, sourceLines(mirrors, distribution.codename));
  const configuration = join(directory, 'apt.conf');
  const hostAcquire = await host.run({
    program: 'apt-config',
    args: ['dump', '--format', '%f "%v";%n', 'Acquire'],
  });
  await writeIfChanged(
    configuration,
    aptConfiguration(directory, sourceList, distribution.architecture, hostAcquire.stdout),
  );
  const provided = recipe.provided.map((entry) => providedPackage(entry.name)).join('\n');
  await writeIfChanged(join(directory, 'status'), provided);
  const archives = join(directory, 'archives');
  return {
    directory,
    sourceList,
    archives,
    run: (program, args, accept = [0]) =>
      host.run({
        program,
        args,
        cwd: archives,
        env: { APT_CONFIG: configuration, ...proxyVariables() },
        accept,
      }),
  };
}

/**
 * apt.conf(5). The host's own Acquire settings (proxies, retries) come first; lists are kept unpacked, as apt reads them
 * twice as fast then. apt's archive cache is a directory that
 * stays empty: --print-uris passes over packages that lie in it, as those of an interrupted download would.
 */
function aptConfiguration(
  directory: string,
  sourceList: string,
  architecture: string,
  hostAcquire: string,
): string {
  const sources =
    sourceList === ''
      ? ''
      : `Dir::Etc::sourcelist "${sourceList}";\nDir::Etc::sourceparts "${join(directory, 'empty')}";\n`;
  return `${hostAcquire}
Acquire::GzipIndexes "false";
Dir::State "${join(directory, 'state')}";
Dir::State::Lists "${join(directory, 'lists')}";
Dir::State::status "${join(directory, 'status')}";
Dir::Cache "${directory}";
Dir::Cache::archives "${join(directory, 'no-archives')}";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "srcpkgcache.bin";
Dir::Etc::main "/dev/null";
Dir::Etc::parts "${join(directory, 'empty')}";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "${join(directory, 'empty')}";
${sources}APT::Architecture "${architecture}";
APT::Architectures "${architecture}";
APT::Install-Recommends "false";
APT::Update::Error-Mode "any";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "2";
DPkg::Post-Invoke "";
`;
}

function sourceLines(mirrors: readonly string[], codename: string): string {
  const lines = mirrors.map((mirror) => {
    if (mirror.startsWith('deb ')) return mirror;
    const url = mirror.startsWith('/') ? `file:${mirror}` : mirror;
    return `deb ${url} ${codename} main`;
  });
  return `${lines.join('\n')}\n`;
}

/** A package that apt takes as installed, because the tree has something in its place (busybox for coreutils, …). */
function providedPackage(name: string): string {
  const fields = [
    'Status: install ok installed',
    'Architecture: all',
    'Multi-Arch: foreign',
    'Version: 9999:0',
  ];
  return `Package: ${name}\n${fields.join('\n')}\nMaintainer: Treeline\nDescription: stands in for the real package\n`;
}

/** apt rebuilds its caches when these files are newer, so they are only written when they differ. */
async function writeIfChanged(path: string, text: string): Promise<void> {
  if ((await readTextIfExists(path)) !== text) await writeFile(path, text);
}
