import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openWorkspace } from '../../src/host/workspace.ts';
import type { Commit } from '../../src/model.ts';
import { artifact } from '../e2e/figures.ts';
import { givenImages } from '../e2e/given.ts';
import { good, otherInitramfs } from './changes.ts';
import { damages } from './damage.ts';
import type { FaultyMachine } from './faulty-machine.ts';
import { startFaultyMachine } from './faulty-machine.ts';
import { seededRandom } from './random.ts';
import { report, scale } from './scale.ts';
import type { StaticServer } from './static-server.ts';
import { serveDirectory } from './static-server.ts';
import type { Versions } from './versions.ts';
import { furtherVersions } from './versions.ts';

const { images, versions, skipped, note } = await givenImages(['qemu-system-x86_64', 'qemu-img', 'cpio']);

describe.skipIf(skipped)(`a machine that cannot be upgraded just now${note}`, () => {
  let directory: string;
  let updates: Versions;
  let server: StaticServer;
  let machine: FaultyMachine;
  let [first, next]: Commit[] = [];
  let before: string;

  const state = (): Promise<string> =>
    machine.text(`ostree admin status; ostree refs --repo=/sysroot/ostree/repo; readlink /boot/loader
      cat /boot/loader/entries/*.conf; ls /sysroot/ostree/deploy/treeline; ls /sysroot/ostree/repo/tmp | grep staging; true`);

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'treeline-conditions-'));
    const { manifest } = versions.first.vm;
    updates = await furtherVersions(openWorkspace(images.workspace), manifest.ref, {
      directory,
      commit: manifest.commit,
    });
    first = updates.head;
    next = await updates.make(otherInitramfs('other'));
    server = await serveDirectory(updates.served);
    // As long ago as clocks go whose battery is empty.
    machine = await startFaultyMachine(artifact(versions.first.vm, '.img'), {
      machine: { key: images.key, memory: 256 },
      url: `http://10.0.2.2:${server.port}`,
      extraArgs: ['-rtc', 'base=1970-01-02T00:00:00'],
    });
    before = await state();
  });
  afterAll(async () => {
    await machine?.remove();
    await server?.stop();
    await updates?.remove();
    await rm(directory, { recursive: true, force: true });
  });

  const damaged = damages(seededRandom(scale.seed), scale.all ? 12 : 1);

  it.each(damaged)('because the delta on the server has $what', async ({ what, number, change }) => {
    const file = updates.deltaFile(first!, next!);
    const whole = await readFile(file);
    await writeFile(file, change(whole));
    try {
      const { exitCode, stdout } = await machine.upgrade();
      report({
        kind: 'damaged delta',
        number,
        where: `on the server, ${what}`,
        result: `exit code ${exitCode}`,
        problems: [],
      });
      expect(stdout).toContain('nothing has changed');
      expect(exitCode).toBe(1);
      expect(await state()).toBe(before);
    } finally {
      await writeFile(file, whole);
    }
  });

  it.each(damaged)('because a delta that was carried to it has $what', async ({ what, number, change }) => {
    const file = updates.deltaFile(first!, next!);
    const carried = join(updates.served, `carried-${basename(file)}`);
    await writeFile(carried, change(await readFile(file)));
    await machine.text(
      `wget -q -O /var/tmp/carried.delta http://10.0.2.2:${server.port}/${basename(carried)}`,
    );
    const { exitCode, stdout } = await machine.ssh('treeline upgrade /var/tmp/carried.delta 2>&1');
    report({
      ...{ kind: 'damaged delta', number, problems: [] },
      ...{ where: `carried, ${what}`, result: `exit code ${exitCode}` },
    });
    // Not every bit of the format means something: what gives the right objects is as good as the whole delta.
    if (exitCode === 0) return takeBack();
    expect(stdout).toMatch(/nothing has changed/i);
    expect(exitCode).toBe(1);
    expect(await state()).toBe(before);
  });

  it('because /var is full', async () => {
    await fill('/var');
    try {
      const { exitCode, stdout } = await machine.upgrade();
      expect(stdout).toMatch(/not enough space|is \/var full/);
      expect(exitCode).toBe(1);
      expect(await state()).toBe(before);
    } finally {
      await machine.text('rm /var/filler');
    }
  });

  it('because /boot is full', async () => {
    await machine.text('mount -o remount,rw /boot');
    await fill('/boot');
    await machine.text('sync; mount -o remount,ro /boot');
    try {
      const { exitCode, stdout } = await machine.upgrade();
      expect(stdout).toMatch(/not enough space: the kernel of version \S+ needs \d+ MB in \/boot/);
      expect(exitCode).toBe(1);
      expect(await state()).toBe(before);
    } finally {
      await machine.text('mount -o remount,rw /boot; rm /boot/filler; sync; mount -o remount,ro /boot');
    }
  });

  it('twice at the same time: one of the two does it', async () => {
    const both = await Promise.all([machine.upgrade(), machine.upgrade()]);
    const [done, refused] = both.toSorted((a, b) => a.exitCode - b.exitCode);
    expect(refused).toMatchObject({ exitCode: 1 });
    expect(refused!.stdout).toContain('another treeline is changing this system');
    expect(done).toMatchObject({ exitCode: 0 });
    const { deployments, trial } = await machine.status();
    expect(deployments.map(({ commit }) => commit)).toEqual([next!.id, first!.id]);
    expect(trial).toMatchObject({ commit: next!.id, triesLeft: 3 });
  });

  it.skipIf(!scale.all)('starts the new version all the same when it is 1970', async () => {
    const { starts, health } = await machine.restart({ extraArgs: ['-rtc', 'base=1970-01-02T00:00:00'] });
    expect({ starts, health }).toEqual({ starts: 1, health: 'treeline: health: good' });
    expect(await machine.text('treeline version')).toBe(next!.version);
    const third = await updates.make(good('third'));
    expect(await machine.upgrade()).toMatchObject({ exitCode: 0 });
    expect(await machine.status()).toMatchObject({ trial: { commit: third.id } });
    await machine.text('ostree fsck --quiet --repo=/sysroot/ostree/repo');
  });

  /** An upgrade that was taken, whole. */
  const takeBack = async (): Promise<void> => {
    await machine.text('ostree fsck --quiet --repo=/sysroot/ostree/repo && treeline rollback');
    const { deployments, trial } = await machine.status();
    if (trial !== null || deployments[0]?.commit !== first!.id) throw new Error('the rollback did nothing');
    before = await state();
  };

  /** With a file that leaves one MiB to root. */
  const fill = (place: string): Promise<string> =>
    machine.text(`kib=$(($(df -Pk ${place} | awk 'NR == 2 { print $4 }') - 1024))
      fallocate -l "\${kib}k" ${place}/filler 2>/dev/null || dd if=/dev/zero of=${place}/filler bs=1k count="$kib" 2>/dev/null
      df -Pk ${place} | awk 'NR == 2 { exit $4 > 4096 }'`);
});
