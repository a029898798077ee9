import { randomUUID } from 'node:crypto';
import { dirname, join } from 'node:path';
import { fs, glob } from 'zx';
import { home } from '../treeline.mjs';
import { copyTree, removeAll, run } from './command.mjs';

/**
 * Builds in a workspace of the benchmark's own, below `directory`. `options`: those of every build; `caches`: what below
 * .treeline holds packages and package lists, which a cold build may use; `known`: a workspace to take these from at first.
 */
export function createBuilds({ directory, options, caches, known }) {
  const workspace = join(directory, 'workspace');
  const layer = join(directory, 'layer');
  const buildOptions = [...options, '--overlay', layer];

  const builds = {
    workspace,
    layer,
    /** Those of every build. */
    options: buildOptions,
    /** Any command of the program in the workspace. */
    program: (name, ...args) =>
      run('node', [`scripts/${name}.mjs`, ...args, '--workspace', workspace], { cwd: home }),
    /** One build as a user runs it. It asks no server for anything new. */
    build: (target, ...more) =>
      builds.program(`build-${target}`, '--quiet', '--offline', ...buildOptions, ...more),
    /** A change of one file that no build knows. */
    changeFile: () => fs.outputFile(join(layer, 'rootfs/etc/bench'), `${randomUUID()}\n`),
    /** Makes sure that the workspace has an image of the target, made of what is there now. Fetches what it needs. */
    prepare: async (target) => {
      if (!(await fs.pathExists(layer))) await builds.changeFile();
      if (!(await fs.pathExists(workspace)) && known !== undefined) await copyCaches(known, workspace);
      await builds.program(`build-${target}`, '--quiet', ...buildOptions);
    },
    /** A new workspace under the same path, with the packages and package lists that it had after `prepare`. */
    empty: async (target) => {
      const kept = join(directory, 'kept', target);
      if (!(await fs.pathExists(kept))) await copyCaches(workspace, kept);
      await removeAll(workspace);
      await copyCaches(kept, workspace);
    },
    /** Puts the workspace aside under a name, or back as it was then. */
    save: (name) => copyTree(workspace, join(directory, 'states', name)),
    restore: (name) => copyTree(join(directory, 'states', name), workspace),
    /** The directory of the newest release. */
    release: async (target) => {
      const found = await glob(join(workspace, 'out/*/*', target, 'latest/manifest.json'));
      return fs.realpath(dirname(found[0]));
    },
    /** The files of the newest release that people download, with their manifest entries. */
    artifacts: async (target) => {
      const release = await builds.release(target);
      const { artifacts } = await builds.manifest(target);
      return artifacts.map((artifact) => ({ ...artifact, path: join(release, artifact.file) }));
    },
    manifest: async (target) => fs.readJson(join(await builds.release(target), 'manifest.json')),
    /** The newest release's lock: distribution and packages. */
    lock: async (target) => {
      const { images } = await fs.readJson(join(await builds.release(target), 'lock.json'));
      return Object.values(images)[0];
    },
  };

  async function copyCaches(from, to) {
    for (const part of caches) {
      const [source, copy] = [from, to].map((root) => join(root, '.treeline', part));
      if (await fs.pathExists(source)) await copyTree(source, copy);
      // The resolver's answers: a cold build asks it anew.
      await removeAll(...(await glob(join(copy, '*/locks'), { onlyDirectories: true })));
    }
  }

  return builds;
}
