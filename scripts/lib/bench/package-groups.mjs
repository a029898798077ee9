// One package changed: the base's newest packages after the same with one older one.
import { join } from 'node:path';
import { fs } from 'zx';
import { contest } from './contest.mjs';
import { imageNames } from './image-groups.mjs';
import { olderLock, swapPackage } from './locks.mjs';

export function packageGroups(bench, base) {
  return ['vm', 'lxc'].map((target) => ({
    name: `${base.name} ${target} one package`,
    run: () => onePackage(bench, base, target),
  }));
}

async function onePackage(bench, base, target) {
  const { builds } = base;
  const group = `${base.name} ${target} one package`;
  await builds.prepare(target);
  const newest = join(base.directory, `newest-${target}.lock.json`);
  await fs.copy(join(await builds.release(target), 'lock.json'), newest);
  const older = await olderLock(base, target);
  const swapped = join(base.directory, `swapped-${target}.lock.json`);
  const changed = older && (await swapPackage({ newest, older, to: swapped, scratch: bench.scratch }));
  if (changed === undefined) return bench.leaveOut(group, 'the archive has one version only of each package');
  await builds.empty(target);
  // With the network: the older one may not be here yet.
  await builds.program(`build-${target}`, '--quiet', ...builds.options, '--lock', swapped);
  await builds.save('one-package');
  return contest(bench, {
    group,
    title: `${base.name}, ${imageNames[target]}, one package changed (${changed})`,
    contestants: [
      {
        who: 'Treeline',
        role: 'ours',
        prepare: () => builds.restore('one-package'),
        run: () => builds.build(target, '--lock', newest),
      },
    ],
  });
}
