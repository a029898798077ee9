import { join } from 'node:path';
import { fs } from 'zx';
import { home } from '../treeline.mjs';
import { findApk, installByHand } from './apk.mjs';
import { measureInside } from './apk-index-group.mjs';
import { contest } from './contest.mjs';
import { run } from './command.mjs';

/** Of Alpine's main: 62 packages with what they need, in Alpine 3.19. */
const packages = ['alpine-base', 'openssh', 'chrony', 'tiny-cloud-nocloud', 'e2fsprogs'];

/** Our installation of packages into an empty root, against apk by hand. */
export function installGroup(bench, { mirror, release }) {
  const group = 'alpine install';
  const install = async () => {
    const directory = join(bench.scratch, 'alpine-install');
    const overlays = await writeLayers(directory, mirror);
    const workspace = join(directory, 'workspace');
    const vendored = join(directory, 'vendored');
    const base = `alpine-${release}`;
    bench.say(`${group}: fetching the packages`);
    const options = ['--quiet', '--workspace', workspace, '--overlays', overlays, '--base', base];
    await run('node', ['scripts/vendor.mjs', vendored, ...options, '--target', 'lxc', '--service', 'sshd-'], {
      cwd: home,
    });
    const request = { what: 'install', workspace, overlays, base, mirror: vendored, runs: 1 };
    const measure = await measureInside(bench, request);
    const { images } = await fs.readJson(join(vendored, 'treeline.lock.json'));
    const [{ distribution }] = Object.values(images);
    await contest(bench, {
      group,
      title: 'alpine, installing 62 packages (25 MB) into an empty root',
      contestants: [
        {
          who: 'Treeline',
          role: 'ours',
          run: async () => (await measure()).seconds[0],
        },
        installByHand({
          directory,
          apk: await findApk(workspace, join(directory, 'apk')),
          mirror: vendored,
          repositories: [join(vendored, distribution.release, 'main')],
          packages,
          provided: [],
          result: 'tree',
        }),
      ],
    });
  };
  return { name: group, run: install };
}

/** Layers with nothing but these packages. */
async function writeLayers(directory, mirror) {
  const overlays = join(directory, 'layers');
  const base = join(overlays, 'base/alpine');
  await fs.copy(join(home, 'overlays/base/alpine/keys'), join(base, 'keys'));
  await fs.outputFile(join(base, 'packages.list'), `${packages.join('\n')}\n`);
  const settings = {
    release: 'latest-stable',
    distribution: {
      name: 'Alpine Linux',
      packages: 'apk',
      releases: ['latest-stable', 'edge', 'v3.*'],
      architectures: { x86_64: 'x86_64' },
    },
    mirrors: [mirror],
    repositories: [{ name: 'main' }],
    setuid: ['/bin/bbsuid', '/usr/bin/doas'],
  };
  await fs.outputFile(join(base, 'layer.yaml'), JSON.stringify(settings));
  return overlays;
}
