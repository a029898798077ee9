import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openWorkspace } from '../../src/host/workspace.ts';
import { measured, seconds } from '../e2e/figures.ts';
import { givenImages } from '../e2e/given.ts';
import { large } from './changes.ts';
import { keepDisk } from './disks.ts';
import type { Recording } from './lost-writes.ts';
import { diskAfter, planLosses, recordUpgrade } from './lost-writes.ts';
import type { Rehearsal, Rehearsed } from './power-cuts.ts';
import { cutPower, inspect, planPoints, recover, rehearse } from './power-cuts.ts';
import { keepDirectory, report, scale, timeIsOver, wanted } from './scale.ts';
import type { StaticServer } from './static-server.ts';
import { serveDirectory } from './static-server.ts';
import type { Versions } from './versions.ts';
import { furtherVersions } from './versions.ts';

const { images, versions, skipped, note } = await givenImages([
  'qemu-system-x86_64',
  'qemu-img',
  'losetup',
  'sfdisk',
  'debugfs',
]);

describe.skipIf(skipped)(`a machine that loses its power during an upgrade${note}`, () => {
  let directory: string;
  let updates: Versions;
  let server: StaticServer;
  let rehearsal: Rehearsal;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'treeline-cuts-'));
    const { manifest } = versions.first.vm;
    updates = await furtherVersions(openWorkspace(images.workspace), manifest.ref, {
      directory,
      commit: manifest.commit,
    });
    const from = updates.head;
    const to = await updates.make(large);
    // A download that lasts two seconds or so.
    server = await serveDirectory(updates.served, { bytesPerSecond: 4 << 20 });
    rehearsal = {
      ...{ running: images.running, from, to },
      ...{ served: updates.served, port: server.port },
    };
  });
  afterAll(async () => {
    await server?.stop();
    await updates?.remove();
    await rm(directory, { recursive: true, force: true });
  });

  describe.skipIf(scale.cuts === 0)('at any moment', () => {
    let rehearsed: Rehearsed;

    beforeAll(async () => {
      rehearsed = await rehearse(join(directory, 'rehearsal'), rehearsal);
      for (const [phase, length] of rehearsed.lengths) measured(`power cuts: ${phase}`, seconds(length));
    });

    it.for(wanted(planPoints(scale.seed, scale.cuts)))(
      'starts again, old or new, whole, and can be upgraded: cut $number, $phase.name',
      async (point, context) => {
        // A cut takes ten times as long as a look at a disk, of which there are twice as many.
        context.skip(timeIsOver(0.7), 'no time is left');
        const disk = join(directory, `cut-${point.number}.qcow2`);
        const { moment, runs, starts, problems } = await cutPower(rehearsed, point, disk);
        const where = `${point.phase.name}, ${seconds(moment)}`;
        const kept = problems.length === 0 ? [] : await keepDisk(disk, keepDirectory);
        const result = `${runs ?? 'nothing runs'}, starts: ${starts}`;
        report({ kind: 'power cut', number: point.number, where, result, problems: [...problems, ...kept] });
        await rm(disk, { force: true });
        expect(problems).toEqual([]);
      },
    );
  });

  describe('together with what its disk had not been told to flush', () => {
    let recording: Recording;

    beforeAll(async () => {
      recording = await recordUpgrade(join(directory, 'recording'), rehearsal);
    });

    /**
     * Of eight, one is started, at which writes to /boot were torn: a start takes a hundred times as long as a look. What the
     * initramfs has to mend, only a start can prove.
     */
    const judge = async (disk: string, number: number): Promise<{ problems: string[]; result: string }> => {
      const { deployed, mended, problems } = await inspect(disk);
      const next = deployed[0] === rehearsal.to.id ? 'new' : 'old';
      if (number % 8 !== 4 && !mended && scale.only === 0)
        return { problems, result: `${next}, not started` };
      const url = `http://10.0.2.2:${server.port}`;
      const {
        runs,
        starts,
        problems: more,
      } = await recover({ ...rehearsal, machine: rehearsal.running.machine, url }, disk);
      const how = mended ? ', mended by the initramfs' : '';
      return { problems: more, result: `${runs ?? 'nothing runs'}, starts: ${starts}${how}` };
    };

    it.for(wanted(Array.from({ length: scale.losses }, (_, index) => ({ number: index + 1 }))))(
      'has whole file systems, a whole repository and whole boot entries: loss $number',
      async ({ number }, context) => {
        context.skip(timeIsOver(), 'no time is left');
        const point = planLosses(recording, scale.seed, scale.losses)[number - 1]!;
        const disk = join(directory, `loss-${number}.img`);
        await diskAfter(recording, point, disk);
        const { problems, result } = await judge(disk, number);
        const kept = problems.length === 0 ? [] : await keepDisk(disk, keepDirectory);
        const where = `after request ${point.count}, ${point.loss}`;
        report({ kind: 'writes lost', number, where, result, problems: [...problems, ...kept] });
        await rm(disk, { force: true });
        expect(problems).toEqual([]);
      },
    );
  });
});
