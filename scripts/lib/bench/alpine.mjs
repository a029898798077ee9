// The base alpine: its builds, and apk called by hand.
import { join } from 'node:path';
import { fs, YAML } from 'zx';
import { home } from '../treeline.mjs';
import { findApk, installByHand } from './apk.mjs';
import { indexGroup } from './apk-index-group.mjs';
import { installGroup } from './apk-install-group.mjs';
import { createBuilds } from './builds.mjs';
import { imageGroups } from './image-groups.mjs';

/**
 * All groups of the base alpine. `mirror`: URL or directory; without it there is only what needs no packages; `release`: as
 * in --base alpine-RELEASE; `layers`: of one's own.
 */
export function alpineGroups(bench, { mirror, release, layers }) {
  if (mirror === undefined) {
    bench.leaveOut('builds on the base alpine', 'no mirror is named (--alpine URL|DIR)');
    return [indexGroup(bench)];
  }
  const base = createAlpine(bench, { mirror, release, layers });
  return [
    indexGroup(bench),
    installGroup(bench, { mirror, release }),
    ...['vm', 'lxc'].flatMap((target) => imageGroups(bench, base, target)),
  ];
}

function createAlpine(bench, { mirror, release, layers }) {
  const directory = join(bench.scratch, 'alpine');
  const recipe = [
    ...['--base', `alpine-${release}`, '--mirror', mirror],
    ...layers.flatMap((layer) => ['--overlay', layer]),
  ];
  const builds = createBuilds({
    directory,
    options: [...recipe, '--no-ssh-key'],
    // The key is part of what the indexes are kept by.
    caches: ['cache/packages', 'cache/apk', 'keys/apk'],
    known: bench.cache,
  });
  const vendored = (target) => join(directory, 'vendored', target);

  /** The packages of a target as a mirror on this disk. */
  const vendor = async (target) => {
    if (await fs.pathExists(vendored(target))) return;
    await builds.program('vendor', vendored(target), '--quiet', ...recipe, '--target', target);
  };

  const byHand = async (target) => {
    await vendor(target);
    const { distribution, packages } = await builds.lock(target);
    const image = (await builds.artifacts(target)).find(({ kind }) => kind === 'disk-image');
    return installByHand({
      directory,
      apk: await findApk(builds.workspace, join(directory, 'apk')),
      mirror: vendored(target),
      repositories: (await fs.readdir(join(vendored(target), distribution.release))).map((name) =>
        join(vendored(target), distribution.release, name),
      ),
      packages: packages.map(({ name, version }) => `${name}=${version}`),
      provided: (await readSettings()).provided,
      result: image === undefined ? 'tar.zst' : { bytes: image.bytes },
    });
  };

  return {
    name: 'alpine',
    directory,
    builds,
    unpack: ['tar', '-xzf', '{}', '-C', 'DIRECTORY', '--warning=no-unknown-keyword'],
    archives: async (target) => {
      await vendor(target);
      const { distribution, packages } = await builds.lock(target);
      return packages.map(({ name, version, source }) =>
        join(vendored(target), distribution.release, source, 'x86_64', `${name}-${version}.apk`),
      );
    },
    coldPeers: async (target) => [await byHand(target)],
    againPeers: async (target) => [await byHand(target)],
    changePeers: async () => [],
  };
}

const readSettings = async () =>
  YAML.parse(await fs.readFile(join(home, 'overlays/base/alpine/layer.yaml'), 'utf8'));
