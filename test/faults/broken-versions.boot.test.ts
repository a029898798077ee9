import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openWorkspace } from '../../src/host/workspace.ts';
import type { Commit } from '../../src/model.ts';
import { givenImages } from '../e2e/given.ts';
import * as changes from './changes.ts';
import type { FaultyMachine } from './faulty-machine.ts';
import { startFaultyMachine } from './faulty-machine.ts';
import { report, scale } from './scale.ts';
import type { StaticServer } from './static-server.ts';
import { serveDirectory } from './static-server.ts';
import type { Change, Versions } from './versions.ts';
import { furtherVersions } from './versions.ts';

const { images, versions, skipped, note } = await givenImages([
  ...['qemu-system-x86_64', 'qemu-img', 'cpio'],
  ...['losetup', 'sfdisk', 'debugfs'],
]);

interface Broken {
  what: string;
  change: Change;
  /** How often it is started before the old version is; where 1, that is all that is left of its 3. */
  tries: 0 | 1 | 3;
  reason: RegExp;
  /** Seconds until it counts as hanging. */
  deadline?: number;
  /** Milliseconds after which a person switches the machine off and on, since nothing else helps. */
  patience?: number;
  /** Tried in `npm test` too. */
  short?: boolean;
}

const broken: Broken[] = [
  {
    what: 'a kernel that GRUB cannot load',
    change: changes.kernelThatIsNone,
    // GRUB itself goes on to the next entry.
    tries: 0,
    reason: /did not start/,
    short: true,
  },
  {
    what: 'a kernel that panics',
    change: changes.kernelThatPanics,
    tries: 3,
    reason: /did not start/,
  },
  {
    what: 'a kernel that halts before anything can watch it',
    change: changes.kernelThatHalts,
    tries: 3,
    reason: /did not start/,
    patience: 20_000,
  },
  { what: 'an initramfs cut off', change: changes.initramfsCutOff, tries: 3, reason: /did not start/ },
  { what: 'an initramfs that ends', change: changes.initramfsThatEnds, tries: 3, reason: /did not start/ },
  {
    what: 'an initramfs that hangs',
    change: changes.initramfsThatHangs,
    tries: 1,
    reason: /did not start/,
    deadline: 15,
  },
  { what: 'an init that ends', change: changes.initThatEnds, tries: 3, reason: /did not start/ },
  {
    what: 'an init that hangs',
    change: changes.initThatHangs,
    tries: 1,
    reason: /did not start/,
    deadline: 15,
    short: true,
  },
  { what: 'a service that fails', change: changes.failingService, tries: 3, reason: /failing/ },
  {
    what: 'another fault each time',
    change: changes.anotherFaultEachTime,
    tries: 3,
    reason: /failing/,
    short: true,
  },
  { what: 'no network', change: changes.noNetwork, tries: 3, reason: /network/ },
];
const tried = broken.filter(({ short }) => scale.all || short === true);

describe.skipIf(skipped)(`a new version with a fault${note}`, () => {
  let directory: string;
  let updates: Versions;
  let server: StaticServer;
  let machine: FaultyMachine;
  let first: Commit;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'treeline-broken-'));
    const { manifest } = versions.first.vm;
    updates = await furtherVersions(openWorkspace(images.workspace), manifest.ref, {
      directory,
      commit: manifest.commit,
    });
    first = updates.head;
    server = await serveDirectory(updates.served);
    machine = await startFaultyMachine(images.running, {
      machine: images.running.machine,
      url: `http://10.0.2.2:${server.port}`,
    });
  });
  afterAll(async () => {
    await machine?.remove();
    await server?.stop();
    await updates?.remove();
    await rm(directory, { recursive: true, force: true });
  });

  describe.each(tried)('$what', ({ what, change, tries, reason, deadline, patience }) => {
    let bad: Commit;

    it(`is tried ${tries} times, then the version before it runs, and knows why`, async () => {
      bad = await updates.make(change, { from: first });
      expect(await machine.upgrade()).toMatchObject({ exitCode: 0 });
      if (deadline !== undefined) await machine.setDeadline(deadline);
      expect(await machine.status()).toMatchObject({ trial: { commit: bad.id, triesLeft: 3 } });
      if (tries === 1) await machine.leaveOneTry();

      const { starts, health } = await machine.restart({
        limit: 6,
        ...(patience === undefined ? {} : { patience }),
      });
      report({
        kind: 'broken version',
        number: broken.findIndex((each) => each.what === what) + 1,
        where: what,
        result: `${starts} starts`,
        problems: [],
      });
      expect(health).toMatch(new RegExp(`fell back from ${bad.version}: .*${reason.source}`));
      expect(starts).toBe(tries + 1);
      const status = await machine.status();
      expect(status.deployments).toMatchObject([{ commit: first.id, running: true, next: true }]);
      expect(status.trial).toBeNull();
      expect(status.bad.find(({ commit }) => commit === bad.id)?.reason).toMatch(reason);
    });

    it('is not offered again', async () => {
      const { exitCode, stdout } = await machine.upgrade();
      expect(stdout).toMatch(
        new RegExp(`version ${bad.version} is there, but failed here on .*${reason.source}`),
      );
      expect(exitCode).toBe(0);
      expect(await machine.status()).toMatchObject({ trial: null });
    });
  });

  it('is followed by a version without one, which is taken and stays', async () => {
    const next = await updates.make(changes.good('mended'), { from: first });
    expect(await machine.upgrade()).toMatchObject({ exitCode: 0 });
    const { starts, health } = await machine.restart();
    expect({ starts, health }).toEqual({ starts: 1, health: 'treeline: health: good' });
    expect(await machine.text('treeline version; cat /usr/share/faults')).toBe(`${next.version}\nmended`);
    const { trial, bad, deployments } = await machine.status();
    expect(trial).toBeNull();
    expect(bad).toHaveLength(tried.length);
    expect(deployments.map(({ commit }) => commit)).toEqual([next.id, first.id]);
    expect(await machine.cutAndInspect()).toEqual([]);
  });
});
