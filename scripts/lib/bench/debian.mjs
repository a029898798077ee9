// The base debian: its builds, and who else makes something of the same packages.
import { join } from 'node:path';
import { fs, glob } from 'zx';
import { createBuilds } from './builds.mjs';
import { guestGroup } from './guest-group.mjs';
import { imageGroups } from './image-groups.mjs';
import { writeArchive } from './local-archive.mjs';
import { createMkosi } from './mkosi.mjs';
import { mmdebstrap } from './mmdebstrap.mjs';
import { packageGroups } from './package-groups.mjs';
import { sizeGroup } from './size-group.mjs';
import { updateGroups } from './update-groups.mjs';

/** All groups of the base debian, in the order in which they run. */
export function debianGroups(bench) {
  const base = createDebian(bench);
  return [
    ...['vm', 'lxc'].flatMap((target) => imageGroups(bench, base, target)),
    ...packageGroups(bench, base),
    ...updateGroups(bench, base),
    sizeGroup(bench, base),
    ...(bench.guest ? [guestGroup(bench, base)] : []),
  ];
}

function createDebian(bench) {
  const directory = join(bench.scratch, 'debian');
  const builds = createBuilds({
    directory,
    options: ['--base', 'debian', '--ssh-key', bench.publicKey],
    caches: ['cache/packages', 'cache/apt'],
    known: bench.cache,
  });
  let mkosi;

  const base = {
    name: 'debian',
    directory,
    builds,
    unpack: ['dpkg-deb', '--extract', '{}', 'DIRECTORY'],
    /** Paths of the packages, which are safe from what builds do. */
    archives: async (target) => {
      const { packages } = await builds.lock(target);
      const copies = join(directory, 'debs', target);
      await fs.ensureDir(copies);
      return Promise.all(
        packages.map(async ({ name, checksum }) => {
          const file = `${checksum.replace('sha256:', '')}.deb`;
          const copy = join(copies, `${name}.deb`);
          await fs.copy(join(builds.workspace, '.treeline/cache/packages', file), copy);
          return copy;
        }),
      );
    },
    coldPeers: async (target) => [
      await mmdebstrapOf(target),
      ...(target === 'vm' ? [(await mkosiOf(target)).cold] : []),
    ],
    againPeers: async (target) => [
      await mmdebstrapOf(target),
      ...(target === 'vm' ? [(await mkosiOf(target)).again] : []),
    ],
    changePeers: async (target) => (target === 'vm' ? [(await mkosiOf(target)).again] : []),
  };
  return base;

  async function mmdebstrapOf(target) {
    const { distribution, packages } = await builds.lock(target);
    const archive = join(directory, 'archive', target);
    await writeArchive(archive, {
      packages: await base.archives(target),
      codename: distribution.codename,
      dependencies: false,
    });
    const image = (await builds.artifacts(target)).find(({ kind }) => kind === 'disk-image');
    return mmdebstrap({
      directory,
      source: `deb [trusted=yes] copy://${archive} ${distribution.codename} main`,
      codename: distribution.codename,
      names: packages.map(({ name }) => name),
      bytes: image?.bytes,
    });
  }

  async function mkosiOf(target) {
    const { distribution, packages } = await builds.lock(target);
    const directories = await glob(join(builds.workspace, '.treeline/cache/apt/*'), {
      onlyDirectories: true,
    });
    // One that has a sources.list was asked for a mirror's packages.
    const apt = directories.find((path) => !fs.existsSync(join(path, 'sources.list')));
    mkosi ??= await createMkosi({
      directory: join(directory, 'mkosi'),
      apt,
      codename: distribution.codename,
      names: packages.map(({ name }) => name),
      layer: builds.layer,
    });
    return mkosi;
  }
}
