import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { openWorkspace } from '../../src/host/workspace.ts';
import type { Commit } from '../../src/model.ts';
import type { Bridge } from '../e2e/bridge.ts';
import { createBridge } from '../e2e/bridge.ts';
import { givenImages } from '../e2e/given.ts';
import type { TemplateContainer } from '../e2e/template.ts';
import { startTemplate } from '../e2e/template.ts';
import { failingService, good, initThatEnds, initThatHangs } from './changes.ts';
import type { Status } from './faulty-machine.ts';
import { report } from './scale.ts';
import type { StaticServer } from './static-server.ts';
import { serveDirectory } from './static-server.ts';
import type { Versions } from './versions.ts';
import { furtherVersions } from './versions.ts';

const { images, versions, skipped, note } = await givenImages(['lxc-start', 'lxc-create', 'ip', 'busybox']);

const broken = [
  { what: 'an init that ends', change: initThatEnds, reason: /did not start/, deadline: 600 },
  { what: 'an init that hangs', change: initThatHangs, reason: /did not start/, deadline: 3 },
  { what: 'a service that fails', change: failingService, reason: /failing/, deadline: 600 },
];

describe.skipIf(skipped)(`a container whose new version has a fault${note}`, () => {
  let directory: string;
  let updates: Versions;
  let server: StaticServer;
  let bridge: Bridge;
  let container: TemplateContainer;
  let first: Commit;

  const status = async (): Promise<Status> =>
    JSON.parse(await container.attachText('treeline status --json')) as Status;

  /** The verdict comes some time after the start. A container that stops is started again, as its manager is told to. */
  const waitForResult = (result: string, commit: Commit): Promise<void> =>
    vi.waitFor(
      async () => {
        if ((await container.state()) === 'STOPPED') await container.start();
        expect((await status()).lastResult).toMatchObject({ result, commit: commit.id });
      },
      { timeout: 600_000, interval: 500 },
    );

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'treeline-broken-'));
    const { manifest } = versions.first.lxc;
    updates = await furtherVersions(openWorkspace(images.workspace), manifest.ref, {
      directory,
      commit: manifest.commit,
    });
    first = updates.head;
    bridge = await createBridge();
    server = await serveDirectory(updates.served, { address: bridge.address });
    container = await startTemplate(versions.first.lxc, bridge);
    await waitForResult('good', first);
  });
  afterAll(async () => {
    await container?.remove();
    await server?.stop();
    await bridge?.remove();
    await updates?.remove();
    await rm(directory, { recursive: true, force: true });
  });

  describe.each(broken)('$what', ({ what, change, reason, deadline }) => {
    let bad: Commit;

    it('is started once, then the version before it runs, and knows why', async () => {
      bad = await updates.make(change, { from: first });
      await container.attachText(`sed -i '/^TREELINE_BOOT_DEADLINE=/d' /etc/treeline.conf 2>/dev/null
        echo TREELINE_BOOT_DEADLINE=${deadline} >>/etc/treeline.conf`);
      expect(await container.upgrade(server.port)).toMatchObject({ exitCode: 0 });
      expect(await status()).toMatchObject({ trial: { commit: bad.id, triesLeft: 1 } });

      await container.attach('reboot');
      await waitForResult('fell-back', bad);
      report({ kind: 'broken container', number: 1, where: what, result: 'old', problems: [] });
      const now = await status();
      expect(now.deployments.filter(({ running }) => running)).toMatchObject([
        { commit: first.id, next: true },
      ]);
      expect(now.trial).toBeNull();
      expect(now.bad.find(({ commit }) => commit === bad.id)?.reason).toMatch(reason);
    });

    it('is not offered again', async () => {
      const { exitCode, stdout } = await container.upgrade(server.port);
      expect(stdout).toMatch(
        new RegExp(`version ${bad.version} is there, but failed here on .*${reason.source}`),
      );
      expect(exitCode).toBe(0);
    });
  });

  it('takes a newer version without a fault, which stays', async () => {
    const next = await updates.make(good('mended'), { from: first });
    await container.attachText("sed -i '/^TREELINE_BOOT_DEADLINE=/d' /etc/treeline.conf");
    expect(await container.upgrade(server.port)).toMatchObject({ exitCode: 0 });
    await container.attach('reboot');
    await waitForResult('good', next);
    const { trial, bad, deployments } = await status();
    expect(trial).toBeNull();
    expect(bad).toHaveLength(broken.length);
    expect(deployments[0]).toMatchObject({ commit: next.id, running: true });
    await container.attachText('ostree fsck --quiet --repo=/sysroot/ostree/repo');
  });
});
