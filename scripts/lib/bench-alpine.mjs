// The Alpine part of `npm run bench`.
import { join } from 'node:path';
import { $, fs, glob } from 'zx';
import { bundleProgram, home } from './treeline.mjs';

/** Of Alpine's main: 62 packages with what they need, in Alpine 3.19. */
const packages = ['alpine-base', 'openssh', 'chrony', 'tiny-cloud-nocloud', 'e2fsprogs'];

/**
 * `apk add --root` by hand against our installation of the same packages, whole builds, and the reading of large indexes.
 * `mirror`: URL or directory; `release`: as in --base alpine-RELEASE; `layers`: of one's own, for the whole builds.
 */
export async function benchAlpine({ mirror, release, layers, scratch, runs, record, say }) {
  const measure = join(scratch, 'bench-alpine.mjs');
  await bundleProgram(join(home, 'scripts/lib/bench-alpine.ts'), measure);
  say('reading an index of 23,000 packages');
  const index = JSON.parse(
    (await $`node ${measure} ${JSON.stringify({ what: 'index', entries: 23_000, runs })}`).stdout,
  );
  record('alpine: verify and read an index of 23,000 packages', 'seconds', index.seconds);
  record('alpine: the same, memory of the process, the making of the index included', 'bytes', [
    index.memory,
  ]);
  if (mirror === undefined) {
    console.log('left out: apk add by hand; name a mirror with --alpine URL|DIR');
    return;
  }
  const overlays = await writeLayers(scratch, mirror);
  const workspace = join(scratch, 'alpine');
  const vendored = join(scratch, 'vendored');
  const base = `alpine-${release}`;
  say('fetching the packages');
  const options = ['--quiet', '--workspace', workspace, '--overlays', overlays, '--base', base];
  await $({ cwd: home })`node scripts/vendor.mjs ${vendored} ${options} --target lxc --service sshd-`;
  const request = { what: 'install', workspace, overlays, base, mirror: vendored, runs: 1 };
  say('installing, by hand and by us in turn');
  const byHand = await prepareByHand({ workspace, vendored, release, scratch });
  const [ours, theirs] = [[], []];
  for (let run = 0; run < runs; run += 1) {
    theirs.push(await byHand());
    const result = JSON.parse((await $`node ${measure} ${JSON.stringify(request)}`).stdout);
    ours.push(...result.seconds);
  }
  record(`alpine: apk add --root by hand, ${packages.length} packages and what they need`, 'seconds', theirs);
  record('alpine: our installation of the same, in the sandbox', 'seconds', ours);
  const extra = layers.flatMap((layer) => ['--overlay', layer]);
  const whole = {
    workspace: join(scratch, 'whole'),
    options: ['--base', base, '--mirror', mirror, ...extra],
  };
  for (const target of ['vm', 'lxc']) await measureBuilds(target, whole, { scratch, runs, record, say });
}

/** One target's image, cold with the packages in the cache, and once more. */
async function measureBuilds(target, { workspace, options }, { scratch, runs, record, say }) {
  const build = async (where) => {
    const started = performance.now();
    await $({
      cwd: home,
    })`node scripts/build-${target}.mjs --quiet --no-ssh-key --workspace ${where} ${options}`;
    return (performance.now() - started) / 1000;
  };
  const fresh = join(scratch, 'fresh');
  const [cold, again] = [[], []];
  say(`alpine: ${target}, filling the cache`);
  await build(workspace);
  for (let run = 0; run < runs; run += 1) {
    say(`alpine: ${target}, ${run + 1} of ${runs}`);
    await fs.remove(fresh);
    // Answers of the resolver and commits stay behind; the key is part of what the indexes are kept by.
    for (const part of ['cache/packages', 'cache/apk', 'keys/apk'])
      await fs.copy(join(workspace, '.treeline', part), join(fresh, '.treeline', part), {
        filter: (path) => !path.endsWith('/locks'),
        preserveTimestamps: true,
      });
    cold.push(await build(fresh));
    again.push(await build(fresh));
  }
  record(`alpine ${target}: cold build, packages in the cache`, 'seconds', cold);
  record(`alpine ${target}: nothing changed`, 'seconds', again);
}

/** Layers with nothing but these packages. */
async function writeLayers(scratch, mirror) {
  const overlays = join(scratch, 'layers');
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

/** Alpine's apk as a user would call it; returns the seconds of one installation into an empty root. */
async function prepareByHand({ workspace, vendored, release, scratch }) {
  const [tools] = await glob(join(workspace, '.treeline/cache/apk/tools/*'), { onlyDirectories: true });
  const own = await fs.pathExists(join(tools, 'sbin/apk.static'));
  const apk = own
    ? [join(tools, 'sbin/apk.static')]
    : [
        join(tools, 'lib/ld-musl-x86_64.so.1'),
        '--library-path',
        `${tools}/lib:${tools}/usr/lib`,
        join(tools, 'sbin/apk'),
      ];
  const root = join(scratch, 'by-hand');
  return async () => {
    await fs.remove(root);
    const options = [
      '--root',
      root,
      '--keys-dir',
      join(vendored, 'keys'),
      '--repositories-file',
      '/dev/null',
    ];
    const repository = join(vendored, release, 'main');
    const started = performance.now();
    await $`${apk} ${options} --repository ${repository} --arch x86_64 --no-cache --no-progress --initdb add ${packages}`.quiet();
    return (performance.now() - started) / 1000;
  };
}
