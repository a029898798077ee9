import { join } from 'node:path';
import {
  changeMode,
  copy,
  createSparseFile,
  makeDirectory,
  readTextIfExists,
  remove,
  writeFile,
} from '../host/files.ts';
import type { Host } from '../host/host.ts';
import { isInstalled } from '../host/tools.ts';
import { fillWorkspace } from './fill-workspace.ts';
import type { Surroundings } from './surroundings.ts';

/** Far from now: long enough for what expires, short enough for clocks of 32 bits. As faketime(1) takes it. */
const timeAway = '+1500d';
const hostname = 'elsewhere';
/** The most that two builds of all targets may take; the file has holes. */
const diskBytes = 32 * 1024 ** 3;
/** Not random, and certainly not this machine's: names in a directory come in another order. See ext4(5), dir_index. */
const hashSeed = '0c1f5e1e-7265-4070-8f64-756365000001';
/** Of the checkout, what a build reads. */
const checkoutParts = ['package.json', 'package-lock.json', 'scripts', 'src', 'overlays', 'layouts'];

export interface Elsewhere extends Surroundings {
  /** Where the copy of one of the layers is. */
  layer(path: string): string;
  /** A directory that is the same one there and here; empty. */
  exchange: string;
}

/**
 * Makes another place, in a directory that is deep and has spaces in its name: another time, time zone, locale, host name,
 * umask, home, number of processors and order of directories, and a copy of the checkout, as far as this machine has the
 * means (`probe.ts` tells what came of it). `layers`: copied there, too. `from`: a workspace whose keys and downloads are
 * taken over.
 */
export async function openElsewhere(
  host: Host,
  options: {
    home: string;
    scratch: string;
    layers: readonly string[];
    from: string;
  },
): Promise<Elsewhere> {
  const { home, scratch, layers, from } = options;
  const outside = join(scratch, 'some where else', 'much deeper', 'than the other one');
  const [directory, contents, exchange] = ['place', 'contents', 'exchange'].map((name) =>
    join(outside, name),
  ) as [string, string, string];
  for (const path of [directory, contents, exchange]) await makeDirectory(path);
  await copyInto(host, contents, { home, layers });
  await fillWorkspace(host, { from, to: join(contents, 'workspace') });
  const given = {
    ELSEWHERE: directory,
    ELSEWHERE_MODULES: join(home, 'node_modules'),
    ELSEWHERE_HOSTNAME: hostname,
    ...(await anotherTime(host, join(outside, 'bin'))),
    ...(await anotherDisk(host, { directory, file: join(outside, 'disk.img') })),
  };
  const processor = await oneProcessor();
  const script = join(home, 'scripts/lib/elsewhere.sh');
  const enter = (argv: readonly string[]): ReturnType<Surroundings['enter']> => ({
    argv: [...processor, ...namespaces, 'sh', script, ...argv],
    env: {
      ...{ TZ: 'Asia/Kathmandu', LC_ALL: 'tr_TR.UTF-8', LANG: 'tr_TR.UTF-8', LANGUAGE: 'tr' },
      ...{ HOME: join(directory, 'home'), USER: 'somebody', LOGNAME: 'somebody' },
      ...given,
    },
  });
  const { argv, env } = enter(['true']);
  await host.run({
    program: argv[0]!,
    args: argv.slice(1),
    env: { ...env, ELSEWHERE_CONTENTS: contents },
    doing: 'make other surroundings',
  });
  await remove(contents);
  return {
    name: 'elsewhere',
    checkout: join(directory, 'checkout'),
    workspace: join(directory, 'workspace'),
    enter,
    layer: (path) => layerCopy(directory, path, layers.indexOf(path)),
    exchange,
  };
}

/** All that is changed for the machine is changed in these, and gone with them. */
const namespaces = [
  ...['unshare', '--mount', '--propagation', 'private', '--uts'],
  ...['--pid', '--fork', '--kill-child', '--mount-proc'],
];

const layerCopy = (directory: string, path: string, index: number): string =>
  join(directory, 'layers', String(index), path.split('/').at(-1)!);

async function copyInto(
  host: Host,
  contents: string,
  { home, layers }: { home: string; layers: readonly string[] },
): Promise<void> {
  for (const part of checkoutParts) await copy(join(home, part), join(contents, 'checkout', part));
  for (const [index, layer] of layers.entries()) {
    const target = layerCopy(contents, layer, index);
    await makeDirectory(join(target, '..'));
    await copy(layer, target);
  }
  // As they are for whoever cloned them with the umask 077.
  await host.run({ program: 'chmod', args: ['-R', 'go-rwx', contents], doing: 'copy the checkout' });
  await makeDirectory(join(contents, 'checkout/node_modules'));
  await makeDirectory(join(contents, 'home'));
}

/** The variables that make the time another one; none where faketime(1) is missing. `bin`: where a program for that goes. */
async function anotherTime(host: Host, bin: string): Promise<Record<string, string>> {
  if (!isInstalled('faketime')) return {};
  const { stdout } = await host.run({
    program: 'faketime',
    args: ['-f', timeAway, 'printenv', 'LD_PRELOAD'],
  });
  const variables = { ELSEWHERE_TIME: timeAway, ELSEWHERE_PRELOAD: stdout.trim() };
  await writeFile(join(bin, 'setpriv'), setpriv(variables), 0o755);
  return { ...variables, ELSEWHERE_BIN: bin };
}

/** Hands the other time to programs that Treeline starts, whose environment holds nothing of ours. */
const setpriv = (variables: { ELSEWHERE_TIME: string; ELSEWHERE_PRELOAD: string }): string => `#!/bin/sh
real=$(PATH=/usr/sbin:/usr/bin:/sbin:/bin command -v setpriv)
export LD_PRELOAD='${variables.ELSEWHERE_PRELOAD}' FAKETIME='${variables.ELSEWHERE_TIME}'
export NO_FAKE_STAT=1 FAKETIME_DONT_FAKE_MONOTONIC=1
exec "$real" "$@"
`;

/** A file system that lists directories in another order than this machine's; nothing where no such thing can be mounted. */
async function anotherDisk(
  host: Host,
  { directory, file }: { directory: string; file: string },
): Promise<Record<string, string>> {
  if (!isInstalled('mke2fs')) return {};
  await createSparseFile(file, diskBytes);
  const features = ['-q', '-F', '-t', 'ext4', '-O', '^has_journal', '-E', `hash_seed=${hashSeed}`];
  await host.run({ program: 'mke2fs', args: [...features, file], doing: 'make another file system' });
  const { exitCode } = await host.run({
    program: 'unshare',
    args: ['--mount', '--propagation', 'private', 'mount', '-o', 'loop', file, directory],
    accept: [0, 1, 32],
  });
  await changeMode(file, 0o600);
  if (exitCode === 0) return { ELSEWHERE_DISK: file };
  await remove(file);
  return {};
}

/** The first processor that this process may use, alone. */
async function oneProcessor(): Promise<string[]> {
  const status = (await readTextIfExists('/proc/self/status')) ?? '';
  const allowed = /^Cpus_allowed_list:\s*(\d+)/m.exec(status)?.[1];
  return allowed === undefined || !isInstalled('taskset') ? [] : ['taskset', '--cpu-list', allowed];
}
