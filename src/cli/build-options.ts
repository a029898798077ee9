import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { TreelineError } from '../host/errors.ts';
import { pathExists, readEntry, realPath } from '../host/files.ts';
import { knownNamesHint } from '../host/nearest.ts';
import type { Workspace } from '../host/workspace.ts';
import type { Architecture, Target } from '../model.ts';
import { targets } from '../model.ts';
import { readReplay } from '../replay.ts';
import type { Asked, BuildOptions, PublishOptions } from '../options.ts';
import type { NamedKeys } from '../ostree/user-keys.ts';
import type { Arguments } from './arguments.ts';
import type { Choices } from './choices.ts';
import { readChoices } from './choices.ts';
import type { WorkspaceSettings } from './settings.ts';

/** Where a value may come from: the command line first, then treeline.yaml, then the checkout's defaults. */
export interface Sources {
  args: Arguments;
  settings: WorkspaceSettings;
  workspace: Workspace;
  /** The checkout: overlays/ and layouts/ lie in it. */
  home: string;
  environment: NodeJS.ProcessEnv;
}

const architectures: readonly Architecture[] = ['x86_64', 'aarch64'];
/** What distributions and other programs call them. */
const otherNames: Readonly<Record<string, Architecture>> = {
  amd64: 'x86_64',
  'x86-64': 'x86_64',
  x64: 'x86_64',
  arm64: 'aarch64',
};
const defaultServices = ['sshd'];
export const longestValidDays = 3650;

/** One BuildOptions for each --target. Throws 'usage' where there is none. */
export async function readBuildOptions(sources: Sources): Promise<BuildOptions[]> {
  const { args, settings } = sources;
  const wanted = [...new Set(args.values('target'))].map(parseTarget);
  if (wanted.length === 0) {
    throw new TreelineError('usage', 'Cannot build: no target is named', {
      hint: `Name one with --target: ${targets.join(', ')}.`,
    });
  }
  const { base, baseReason } = await chooseBase(sources);
  const arch = parseArchitecture(args.value('arch') ?? settings.arch ?? 'x86_64');
  return Promise.all(wanted.map((target) => fillIn(sources, { base, arch, target, asked: {} }, baseReason)));
}

/** A build takes the base that somebody named, and never asks the network which one it could be. */
async function chooseBase({
  args,
  settings,
  workspace,
}: Sources): Promise<{ base: string; baseReason: string }> {
  const named = args.value('base');
  if (named !== undefined) return { base: named, baseReason: '--base' };
  if (settings.base !== undefined) return { base: settings.base, baseReason: 'treeline.yaml' };
  const why = (await pathExists(workspace.settingsFile))
    ? 'treeline.yaml names none'
    : 'this workspace has no treeline.yaml';
  return { base: 'debian', baseReason: `the default: ${why}` };
}

/** How the updates of a workspace are published. Throws 'usage'. */
export function readPublishOptions(sources: Sources): PublishOptions {
  const { args, settings } = sources;
  return {
    signKeys: readSignKeys(sources),
    deltas: parseCount('deltas', args.value('deltas')) ?? settings.deltas ?? 1,
    validDays: parseDays(args.value('valid-days')) ?? settings['valid-days'] ?? 90,
  };
}

/** The keys of the user's own GnuPG that are to sign, in GNUPGHOME or ~/.gnupg; undefined where none is named. */
export function readSignKeys({ args, settings, environment }: Sources): NamedKeys | undefined {
  const given = args.values('sign-key');
  const names = given.length > 0 ? given : (settings['sign-key'] ?? []);
  if (names.length === 0) return undefined;
  const home = environment['GNUPGHOME'] || join(homedir(), '.gnupg');
  return { home: resolve(home), names };
}

/** Every image that was built before, as --base, --arch and --target narrow it, with what was asked for then. */
export async function readUpdateOptions(sources: Sources): Promise<BuildOptions[]> {
  const { args, workspace } = sources;
  const wanted = args.values('target').map(parseTarget);
  const [base, arch] = [args.value('base'), args.value('arch')];
  const built = (await readChoices(workspace)).filter(
    (choices) =>
      (base === undefined || choices.base === base || choices.base.startsWith(`${base}-`)) &&
      (arch === undefined || choices.arch === arch) &&
      (wanted.length === 0 || wanted.includes(choices.target)),
  );
  const absent = wanted.filter((target) => built.every((choices) => choices.target !== target));
  if (built.length === 0 || absent.length > 0) {
    const what = absent.length > 0 ? `target ${absent.join(', ')}` : 'this workspace';
    const first = (absent.length > 0 ? absent : ['vm']).map((target) => `npm run build:${target}`);
    const doing = args.command === 'build-update' ? 'build an update for' : args.command;
    throw new TreelineError(
      'update',
      `Cannot ${doing} ${what}: nothing was built before${args.command === 'build-update' ? ' that it could update' : ''}`,
      {
        hint:
          args.command === 'build-update'
            ? `Build first: ${first.join(', ')}`
            : `Name images with --target: npm run ${args.command} -- --target vm`,
      },
    );
  }
  return Promise.all(built.map((choices) => fillIn(sources, choices, 'as it was built before')));
}

/** The command line goes before what it said at an earlier build, that before treeline.yaml, that before the defaults. */
async function fillIn(
  sources: Sources,
  { base, arch, target, asked: before }: Choices,
  baseReason: string,
): Promise<BuildOptions> {
  const { args, settings, workspace, home, environment } = sources;
  const asked: Asked = { ...before, ...readAsked(args) };
  const inWorkspace = (paths: readonly string[] = []): string[] =>
    paths.map((path) => resolve(workspace.root, path));
  const defaultLayout =
    settings.layout === undefined ? join(home, 'layouts/vm.cfg') : resolve(workspace.root, settings.layout);
  const layout = asked.layout ?? defaultLayout;
  const defaultKeys =
    settings['ssh-key'] === undefined ? await ownPublicKeys() : inWorkspace(settings['ssh-key']);
  const sshKeys = asked.sshKeys ?? defaultKeys;
  await refuseDirectories('--layout', [layout]);
  const lock =
    asked.lock ?? (settings.lock === undefined ? undefined : resolve(workspace.root, settings.lock));
  await refuseOthersThanFiles('--lock', lock);
  const replay = args.has('replay') ? await readReplay(resolve(args.value('replay')!)) : undefined;
  await refuseDirectories('--ssh-key', sshKeys);
  return {
    request: {
      overlays: resolve(args.value('overlays') ?? join(home, 'overlays')),
      base,
      arch,
      target,
      services: chooseServices(asked.services ?? settings.services ?? []),
      extraLayers: asked.overlays ?? inWorkspace(settings.overlay),
    },
    baseReason,
    packages: {
      mirrors: asked.mirrors ?? settings.mirror?.map((mirror) => mirrorPath(mirror, workspace.root)) ?? [],
      lock: replay?.lock ?? lock,
      offline: args.has('offline'),
      refresh: args.has('refresh') || (args.command === 'build-update' && !args.has('offline')),
    },
    layout,
    sshKeys,
    updateUrl: asked.updateUrl ?? parseUrl(settings['update-url'] ?? ''),
    keep: parseCount('keep', args.value('keep')) ?? settings.keep ?? 3,
    flat: asked.flat ?? settings.flat ?? false,
    qcow2: asked.qcow2 ?? settings.qcow2 ?? false,
    epoch: parseEpoch(environment['SOURCE_DATE_EPOCH']),
    force: args.has('force'),
    explainCache: args.has('explain-cache'),
    replay,
    asked,
  };
}

/** URLs and lines of sources.list stay; a directory may be relative. */
const mirrorPath = (mirror: string, below = process.cwd()): string =>
  /^[a-z]+:\/\/|^deb /i.test(mirror) ? mirror : resolve(below, mirror);

function readAsked(args: Arguments): Asked {
  const paths = (option: string): string[] => args.values(option).map((path) => resolve(path));
  return {
    ...(args.has('service') && { services: args.values('service') }),
    ...(args.has('overlay') && { overlays: paths('overlay') }),
    ...(args.has('mirror') && { mirrors: args.values('mirror').map((mirror) => mirrorPath(mirror)) }),
    ...(args.has('lock') && { lock: resolve(args.value('lock')!) }),
    ...(args.has('layout') && { layout: resolve(args.value('layout')!) }),
    ...(args.has('no-ssh-key') && { sshKeys: [] }),
    ...(args.has('ssh-key') && { sshKeys: paths('ssh-key') }),
    ...(args.has('update-url') && { updateUrl: parseUrl(args.value('update-url')!) }),
    ...(args.has('flat') && { flat: true }),
    ...(args.has('qcow2') && { qcow2: true }),
  };
}

/** The default services and the named ones; `name-` takes one away. Throws 'usage' where that is not among them. */
export function chooseServices(named: readonly string[]): string[] {
  const removed = named.filter((name) => name.endsWith('-')).map((name) => name.slice(0, -1));
  const added = [...new Set([...defaultServices, ...named.filter((name) => !name.endsWith('-'))])];
  for (const name of removed.filter((candidate) => !added.includes(candidate))) {
    throw new TreelineError('usage', `Cannot leave out the service ${name}: it would not be added anyway`, {
      hint: knownNamesHint(name, added),
    });
  }
  return added.filter((name) => !removed.includes(name));
}

/** Whatever cannot be read to its end: a pipe would wait for somebody who writes. */
async function refuseOthersThanFiles(option: string, path: string | undefined): Promise<void> {
  await refuseDirectories(option, path === undefined ? [] : [path]);
  const kind =
    path === undefined ? undefined : (await readEntry(await realPath(path).catch(() => path)))?.kind;
  if (kind === undefined || kind === 'file') return;
  throw new TreelineError('usage', `Cannot use ${option} ${path}: it is no regular file`, {
    hint: `Name a file with ${option} FILE.`,
  });
}

async function refuseDirectories(option: string, paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    const real = await realPath(path).catch(() => path);
    if ((await readEntry(real))?.kind !== 'directory') continue;
    throw new TreelineError('usage', `Cannot use ${option} ${path}: it is a directory`, {
      hint: `Name a file with ${option} FILE.`,
    });
  }
}

export function parseTarget(name: string): Target {
  const target = targets.find((known) => known === name);
  if (target !== undefined) return target;
  throw new TreelineError('usage', `Cannot build for the target ${name}: there is none of this name`, {
    hint: knownNamesHint(name, targets),
  });
}

export function parseArchitecture(name: string): Architecture {
  const architecture = architectures.find((known) => known === name);
  if (architecture !== undefined) return architecture;
  const meant = otherNames[name.toLowerCase()];
  throw new TreelineError('usage', `Cannot build for the architecture ${name}: it is not supported`, {
    hint:
      meant === undefined
        ? knownNamesHint(name, architectures)
        : `Did you mean ${meant}? Known: ${architectures.join(', ')}.`,
  });
}

/** A whole number of at least 1, or undefined where the option was not given. */
export function parseCount(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^[1-9]\d{0,9}$/.test(text)) return Number(text);
  throw new TreelineError(
    'usage',
    `Cannot use --${option} ${text}: it must be a whole number of at least 1`,
    {
      hint: `Give another number, or leave --${option} out.`,
    },
  );
}

function parseDays(text: string | undefined): number | undefined {
  const days = parseCount('valid-days', text);
  if (days === undefined || days <= longestValidDays) return days;
  throw new TreelineError(
    'usage',
    `Cannot use --valid-days ${text}: ten years (${longestValidDays}) is the most`,
    {
      hint: 'Give a smaller number, or leave --valid-days out.',
    },
  );
}

/** A TCP port, or undefined where the option was not given. */
export function parsePort(text: string | undefined): number | undefined {
  const port = parseCount('port', text);
  if (port === undefined || port < 65536) return port;
  throw new TreelineError('usage', `Cannot use --port ${text}: ports go up to 65535`, {
    hint: 'Give another number, or leave --port out.',
  });
}

function parseUrl(text: string): string {
  if (text === '') return text;
  if (/^https?:\/\/[^\s'"]+$/.test(text)) return text.replace(/\/+$/, '');
  throw new TreelineError('usage', `Cannot use --update-url ${text}: it must be an http:// or https:// URL`, {
    hint: 'It names the directory that holds updates/, as the machine sees it: https://example.org/treeline',
  });
}

/** https://reproducible-builds.org/specs/source-date-epoch/ */
function parseEpoch(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined;
  if (/^\d{1,11}$/.test(text)) return Number(text);
  throw new TreelineError('usage', `Cannot use SOURCE_DATE_EPOCH=${text}: it must be seconds since 1970`, {
    hint: 'Give it a number (date +%s prints one for now), or unset it: then the newest package gives the date.',
  });
}

/** The caller's own public keys, where ssh looks for them. */
async function ownPublicKeys(): Promise<string[]> {
  const names = ['id_ed25519.pub', 'id_ecdsa.pub', 'id_rsa.pub'];
  const paths = names.map((name) => join(homedir(), '.ssh', name));
  const present = await Promise.all(paths.map(pathExists));
  return paths.filter((_, index) => present[index]);
}
