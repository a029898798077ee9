import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { openWorkspace } from '../../../src/host/workspace.ts';
import type { KeyFile, Recipe, Repository } from '../../../src/model.ts';
import { apkBackend } from '../../../src/packages/apk/backend.ts';
import { openWorkspaceKey as openKey } from '../../../src/packages/apk/workspace-key.ts';
import type { PackageOptions } from '../../../src/packages/backend.ts';
import type { ApkRequest, TestKey } from '../../helpers/apks.ts';
import { buildApk, makeKey, writeRepository } from '../../helpers/apks.ts';
import type { TemporaryHost } from '../../helpers/host.ts';
import { temporaryDirectory, temporaryHost } from '../../helpers/host.ts';
import { lacks } from '../../helpers/needs.ts';
import { recipe } from '../../helpers/trees.ts';
import { alpineDirectory, alpineMissing } from '../../helpers/alpine-repository.ts';

/** Why packages cannot be installed here; undefined where they can. */
export const cannotInstall: string | undefined =
  alpineMissing ?? lacks({ programs: ['bwrap', 'curl', 'prlimit', 'tar'], root: true });

const release = 'v3.19';

/** Where a package list of the tests asks for packages. */
export const origin = { layer: 'service/web', file: '/overlays/service/web/packages.list', line: 3 };

/** The keys of Alpine's own repository, as a layer pins them. */
export const alpineKeyFiles = (): KeyFile[] => {
  const directory = join(alpineDirectory, 'keys/x86_64');
  return readdirSync(directory).map((name) => ({ name, path: join(directory, name) }));
};

/** A recipe of Alpine that asks for these packages, with these parts of it exchanged. */
export function asking(
  names: readonly string[],
  parts: Parameters<typeof recipe>[0] & { provide?: readonly string[] } = {},
): Recipe {
  const { provide = [], settings, ...rest } = parts;
  return recipe({
    distribution: {
      id: 'alpine',
      name: 'Alpine Linux',
      release,
      codename: '',
      packages: 'apk',
      architecture: 'x86_64',
    },
    ref: `treeline/alpine-${release}/x86_64/vm`,
    packages: names.map((name) => ({ name, origin })),
    provided: provide.map((name) => ({ name, origin })),
    repositories: [repository('main', alpineKeyFiles())],
    ...rest,
    settings: { setuid: ['bin/bbsuid', 'usr/bin/doas'], ...settings },
  });
}

export const repository = (
  name: string,
  keys: readonly KeyFile[],
  parts: Partial<Repository> = {},
): Repository => ({ name, keys, origin: { layer: 'base/alpine', file: '/layer.yaml', line: 1 }, ...parts });

export interface Mirror {
  /** For --mirror. */
  directory: string;
  /** Writes a repository NAME below the release anew. */
  publish(name: string, apks: readonly (ApkRequest | Buffer)[], key?: TestKey): void;
}

/** A mirror with Alpine's own main, and what is published there. */
export function makeMirror(): Mirror {
  const directory = temporaryDirectory();
  mkdirSync(join(directory, release));
  symlinkSync(join(alpineDirectory, release, 'main'), join(directory, release, 'main'));
  return {
    directory,
    publish(name, apks, key = makeKey()) {
      const bytes = apks.map((apk) => (Buffer.isBuffer(apk) ? apk : buildApk(apk, key)));
      writeRepository(join(directory, release, name), bytes, key);
    },
  };
}

/** A key as the file that a layer pins. */
export function keyFile(key: TestKey = makeKey()): KeyFile {
  const path = join(temporaryDirectory(), key.name);
  writeFileSync(path, key.publicPem);
  return { name: key.name, path };
}

export const packageStore = (host: TemporaryHost): string => join(host.workspace.cache, 'packages');

/** Key files of a workspace: one pair for all workspaces of a test file, as making one takes a while. */
const workspaceKey = mkdtempSync(join(tmpdir(), 'tl-key-'));
afterAll(() => rmSync(workspaceKey, { recursive: true, force: true }));

/** A workspace of its own that takes packages from one mirror. `ownKey`: it makes its own key, as workspaces do. */
export async function workspaceAt(
  mirrors: readonly string[],
  { host = temporaryHost(), ownKey = false }: { host?: TemporaryHost; ownKey?: boolean } = {},
) {
  if (!ownKey) {
    const maker = openWorkspace(workspaceKey);
    await openKey(maker);
    cpSync(join(maker.keys, 'apk'), join(host.workspace.keys, 'apk'), { recursive: true });
  }
  const options = (more: Partial<PackageOptions> = {}): PackageOptions => ({
    mirrors,
    offline: false,
    refresh: false,
    ...more,
  });
  const resolve = (wanted: Recipe, more?: Partial<PackageOptions>) =>
    apkBackend.resolve(host, wanted, options(more));
  const fetch = async (wanted: Recipe, more?: Partial<PackageOptions>) =>
    apkBackend.fetch(host, await resolve(wanted, more), wanted, options(more));
  /** Resolves, fetches, and installs into a root of its own. Resolves with that. */
  const install = async (wanted: Recipe): Promise<string> => {
    const packages = await fetch(wanted);
    const root = join(temporaryDirectory(), 'root');
    await packages.install!(root);
    return root;
  };
  return { host, options, resolve, fetch, install };
}

/** A workspace with Alpine's main and a repository `extra` with these packages, both in its recipes. */
export async function withExtra(apks: readonly (ApkRequest | Buffer)[], how: { ownKey?: boolean } = {}) {
  const mirror = makeMirror();
  mirror.publish('extra', apks);
  const repositories = [repository('main', alpineKeyFiles()), repository('extra', [keyFile()])];
  const wanted = (names: readonly string[], parts: Parameters<typeof asking>[1] = {}): Recipe =>
    asking(names, { repositories, ...parts });
  return { mirror, repositories, wanted, ...(await workspaceAt([mirror.directory], how)) };
}
