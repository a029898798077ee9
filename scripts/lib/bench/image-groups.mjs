// The groups that every base has: an image cold, again, with one file changed.
import { join } from 'node:path';
import { contest } from './contest.mjs';
import { floor, imageAlone, nodeAlone } from './floor.mjs';
import { runAsRoot } from './command.mjs';
import { checkOut, ostreeCommit } from './ostree.mjs';
import { lacking } from './peers.mjs';

/** What a target's image is called in tables. */
export const imageNames = { vm: 'disk image', lxc: 'LXC template' };

/**
 * Groups of one target's image. A base: `name`, `directory`, `builds`, `unpack` (the command for one of its packages), and
 * of a target that was built: `archives`, `coldPeers`, `againPeers`.
 */
export function imageGroups(bench, base, target) {
  const { builds } = base;
  const prefix = `${base.name} ${target}`;
  const title = `${base.name}, ${imageNames[target]}`;
  const ours = { who: 'Treeline', role: 'ours' };
  const diskOf = async () => (await builds.artifacts(target)).find(({ kind }) => kind === 'disk-image')?.path;
  const treeCopy = async () =>
    checkOut({
      workspace: builds.workspace,
      commit: (await builds.manifest(target)).commit,
      to: join(base.directory, 'tree', target),
    });
  const commitOf = (tree, fresh) => ({
    ...ostreeCommit({ tree, repository: join(base.directory, `commits-${target}`), fresh }),
    unavailable: lacking('ostree'),
  });

  const cold = async () => {
    await builds.prepare(target);
    const image = await diskOf();
    const tree = await treeCopy();
    const kept = image && (await keepImage(image, base.directory));
    const archives = await base.archives(target);
    await contest(bench, {
      group: `${prefix} cold`,
      title: `${title}, cold: packages and package lists in the cache, new repository`,
      contestants: [
        { ...ours, prepare: () => builds.empty(target), run: () => builds.build(target) },
        ...(await base.coldPeers(target)),
        commitOf(tree, true),
        floor({ directory: base.directory, archives, unpack: base.unpack, image: kept, tree }),
      ],
    });
  };

  const nothing = async () => {
    await builds.prepare(target);
    await contest(bench, {
      group: `${prefix} nothing`,
      title: `${title}, nothing changed`,
      contestants: [
        { ...ours, run: () => builds.build(target) },
        ...(await base.againPeers(target)),
        nodeAlone,
      ],
    });
  };

  const oneFile = async () => {
    await builds.prepare(target);
    const image = await diskOf();
    const kept = image && (await keepImage(image, base.directory));
    await contest(bench, {
      group: `${prefix} one file`,
      title: `${title}, one file changed`,
      contestants: [
        { ...ours, prepare: builds.changeFile, run: () => builds.build(target) },
        ...(await base.changePeers(target)),
        commitOf(await treeCopy(), false),
        ...(kept === undefined ? [] : [imageAlone({ directory: base.directory, image: kept })]),
      ],
    });
  };

  return [
    { name: `${prefix} cold`, run: cold },
    { name: `${prefix} nothing`, run: nothing },
    { name: `${prefix} one file`, run: oneFile },
  ];
}

/** Builds take the image out of the workspace. */
async function keepImage(image, directory) {
  const kept = join(directory, 'finished.img');
  await runAsRoot('cp', ['--sparse=always', image, kept]);
  return kept;
}
