import { join } from 'node:path';
import { fs, glob } from 'zx';
import { removeAll, run } from './command.mjs';
import { writeArchive } from './local-archive.mjs';
import { lacking } from './peers.mjs';

/** mkosi 14 adds these to what it is asked for, beside all that is essential. */
const added = ['ca-certificates', 'usr-is-merged'];

const who = 'mkosi';
const role = 'peer';
const does =
  'a tree of the same packages and Debian’s essential ones, installed with their scripts, in its incremental mode (no disk, no repository); cold: without its cache';

/**
 * mkosi 14 (Debian 12's) making a tree of the same packages. Debian's essential packages come along and maintainer
 * scripts run: it knows no other way. `apt`: a directory of the workspace's apt, with package lists; `layer`: of one's own.
 * Returns two contestants: `cold`, and `again`, whose cache is filled.
 */
export async function createMkosi({ directory, apt, codename, names, layer }) {
  const tree = join(directory, 'tree');
  const archive = join(directory, 'archive');
  const skeleton = join(directory, 'skeleton');
  const unavailable = await whyUnavailable();
  let archived;
  const build = async () => {
    const options = [
      ['distribution', 'debian'],
      ['release', codename],
      ['local-mirror', `file://${archive}`],
      ['mirror', `file://${archive}`],
      ['repository-key-check', 'false'],
      ['base-packages', 'false'],
      ['bootable', 'false'],
      ['with-docs', 'false'],
      ['incremental', 'true'],
      ['format', 'directory'],
      ['output', tree],
      ['workspace-dir', directory],
      ['skeleton-tree', skeleton],
      ['extra-tree', join(layer, 'rootfs')],
      ...names.map((name) => ['package', name]),
    ].map(([name, value]) => `--${name}=${value}`);
    // systemd-nspawn wants a /run that is no disk.
    const script = 'mount -t tmpfs tmpfs /run && exec mkosi --force --nspawn-keep-unit "$@" build';
    await run('unshare', ['--mount', 'sh', '-ec', script, 'sh', ...options], { cwd: directory, name: who });
  };

  const prepare = async () => {
    await fs.ensureDir(join(skeleton, 'etc/kernel/install.d'));
    archived ??= fetchClosure({ directory, apt, codename, names, archive });
    await archived;
  };

  const cold = {
    prepare: async () => {
      await prepare();
      await removeAll(...(await glob(`${tree}*`, { onlyFiles: false })));
    },
    run: build,
  };
  const again = {
    prepare: async () => {
      await prepare();
      if (!(await fs.pathExists(`${tree}.cache-pre-inst`))) await build();
      // Version 14 takes its cache only where there is one of a build script, too.
      await fs.ensureDir(`${tree}.cache-pre-dev`);
    },
    run: build,
  };
  return {
    cold: { who, role, does, unavailable, ...cold },
    again: { who, role, does, unavailable, ...again },
  };
}

async function whyUnavailable() {
  const missing = lacking('mkosi');
  if (missing !== undefined) return missing;
  if (process.getuid() !== 0) return 'it needs root';
  const version = await run('mkosi', ['--version']);
  return /^mkosi 14\b/.test(version) ? undefined : `this is ${version}, and only version 14 is known here`;
}

/** Downloads the packages and all that they need on a machine that has nothing, and makes an archive of them. */
async function fetchClosure({ directory, apt, codename, names, archive }) {
  const debs = join(directory, 'debs');
  const status = join(directory, 'status');
  const configuration = join(directory, 'apt.conf');
  await fs.emptyDir(debs);
  await fs.outputFile(status, '');
  const own = await fs.readFile(join(apt, 'apt.conf'), 'utf8');
  await fs.writeFile(
    configuration,
    own.replace(/^Dir::State::status .*$/m, `Dir::State::status "${status}";`),
  );
  const options = { cwd: debs, env: { APT_CONFIG: configuration } };
  const wanted = [...names, ...added, ...(await essentialNames(options))];
  const uris = await run('apt-get', ['install', '--print-uris', '-qq', ...wanted], options);
  const needed = uris.split('\n').map((line) => line.split(' ')[1].split('_')[0]);
  await run('apt-get', ['download', '-qq', ...needed], options);
  const packages = (await fs.readdir(debs)).map((name) => join(debs, name));
  await writeArchive(archive, { packages, codename, dependencies: true });
}

/** What debootstrap installs first. */
async function essentialNames(options) {
  const available = await run('apt-cache', ['dumpavail'], options);
  return available
    .split('\n\n')
    .filter((entry) => /^(Essential: yes|Priority: required)$/m.test(entry))
    .map((entry) => /^Package: (.*)$/m.exec(entry)[1]);
}
