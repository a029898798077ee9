// Updates of a disk image: a real one with a new kernel, and one with nothing in it.
import { join } from 'node:path';
import { fs } from 'zx';
import { contest } from './contest.mjs';
import { deltaGroup } from './delta-group.mjs';
import { olderLock } from './locks.mjs';

export function updateGroups(bench, base) {
  const { builds, name, directory } = base;
  const newest = join(directory, 'newest.lock.json');
  const group = `${name} update kernel`;
  let prepared;
  /** The stages of the last update in which something changed. */
  let stages = [];

  const update = async () => {
    const options = [...builds.options, '--json', '--offline', '--target', 'vm', '--lock', newest];
    const events = await builds.program('build-update', ...options);
    return events
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line))
      .filter(({ type }) => type === 'stage-end');
  };

  /** A workspace with an image of older packages, and the newer ones in its cache. Returns whether the kernel differs. */
  const prepareOlder = async () => {
    await builds.prepare('vm');
    await fs.copy(join(await builds.release('vm'), 'lock.json'), newest);
    const kernel = await kernelOf(builds);
    const older = await olderLock(base, 'vm');
    if (older === undefined) return false;
    await builds.empty('vm');
    await builds.program('build-vm', '--quiet', ...builds.options, '--lock', older);
    await builds.save('older');
    return (await kernelOf(builds)) !== kernel;
  };
  const ready = () => (prepared ??= prepareOlder());
  const changing = async () => {
    stages = await update();
  };

  const kernelUpdate = async () => {
    if (!(await ready())) return bench.leaveOut(group, 'the archive has one kernel only');
    const title = `${name}, build-update of the disk image: security updates with a kernel, deltas made and proved, new image`;
    await contest(bench, {
      group,
      title,
      contestants: [{ who: 'Treeline', role: 'ours', prepare: () => builds.restore('older'), run: changing }],
    });
    for (const { stage, seconds } of stages) {
      bench.record({
        group,
        title,
        who: `its stage ${stage}`,
        role: 'fact',
        unit: 'seconds',
        values: [seconds],
      });
    }
    await builds.save('updated');
  };

  /** Puts the workspace into the state after the update. */
  const updated = async () => {
    if (!(await ready())) return false;
    if (!(await fs.pathExists(join(directory, 'states/updated')))) {
      await builds.restore('older');
      await changing();
      await builds.save('updated');
    }
    await builds.restore('updated');
    return true;
  };

  const nothing = async () => {
    const own = `${name} update nothing`;
    if (!(await updated())) return bench.leaveOut(own, 'the archive has one kernel only');
    return contest(bench, {
      group: own,
      title: `${name}, build-update of the disk image, nothing changed`,
      contestants: [{ who: 'Treeline', role: 'ours', run: update }],
    });
  };

  return [
    { name: group, run: kernelUpdate },
    { name: `${name} update nothing`, run: nothing },
    deltaGroup(bench, base, { updated, stages: () => stages }),
  ];
}

/** The name of the kernel's package, which has the version in it. */
async function kernelOf(builds) {
  const { packages } = await builds.lock('vm');
  return packages
    .filter(({ name }) => /^linux-image-.*\d/.test(name))
    .map(({ name, version }) => `${name} ${version}`)
    .join();
}
