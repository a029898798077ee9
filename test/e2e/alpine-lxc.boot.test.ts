import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runOverSsh } from '../helpers/ssh.ts';
import type { RunText } from './alpine-system.ts';
import { addLocalAccounts, mergedAccounts, readAccounts, testAlpineSystem } from './alpine-system.ts';
import type { Bridge } from './bridge.ts';
import { createBridge } from './bridge.ts';
import { measured, seconds } from './figures.ts';
import { findDelta, givenAlpine } from './given.ts';
import type { BuiltVersion } from './images.ts';
import { inGuest } from './overlay.ts';
import type { Recorder } from './server.ts';
import { startRecorder } from './server.ts';
import type { TemplateContainer } from './template.ts';
import { startTemplate } from './template.ts';

const { images, versions, skipped, note } = await givenAlpine(['lxc-start', 'lxc-create', 'ip', 'busybox']);

describe.skipIf(skipped)(`an Alpine container${note}`, () => {
  const { first, second } = versions;
  let bridge: Bridge;
  let recorder: Recorder;

  beforeAll(async () => {
    bridge = await createBridge();
    recorder = await startRecorder(images.serverPort, bridge.address);
  });
  afterAll(async () => {
    await recorder?.stop();
    await bridge?.remove();
  });

  describe('of the lxc template', () => {
    let container: TemplateContainer;
    beforeAll(async () => void (container = await startTemplate(first.lxc, bridge)));
    afterAll(() => container?.remove());
    const text = (command: string): Promise<string> => container.attachText(command);

    testAlpineContainer(text, () => first.lxc);

    it('upgrades itself by one delta', async () => {
      await text(`${addLocalAccounts}; echo 'my data' >/var/lib/e2e-data`);
      const delta = await findDelta(images, first.lxc, second.lxc);
      recorder.takeRequests();
      const start = performance.now();
      const { stdout, stderr, exitCode } = await container.upgrade(recorder.port);
      measured('Alpine, lxc: treeline upgrade', seconds(performance.now() - start));
      expect({ exitCode, output: stdout + stderr }).toMatchObject({ exitCode: 0 });
      expect(recorder.takeRequests().map(({ path }) => path)).toEqual([
        '/updates/index.json',
        expect.stringMatching(/^\/updates\/index-[0-9a-f]{16}\.sig$/),
        `/updates/${delta.file}`,
      ]);
    });

    it('runs version two after a reboot, with the new package’s user beside the local one', async () => {
      await container.reboot();
      expect(await text('treeline version')).toBe(second.lxc.manifest.version);
      expect(await text('apk info -v 2>&1')).toMatch(/^hello-1\.1-r0$/m);
      expect(await text(`cat ${inGuest.changed} /var/lib/e2e-data`)).toBe('version two\nmy data');
      expect(await readAccounts(text)).toEqual(mergedAccounts);
    });

    it('runs version one again after a rollback and a reboot', async () => {
      await text('treeline rollback');
      await container.reboot();
      expect(await text('treeline version')).toBe(first.lxc.manifest.version);
      expect(await text('apk info -v 2>&1')).toMatch(/^hello-1\.0-r0$/m);
      expect(await text('id -un local')).toBe('local');
    });

    it('powers off from the inside', async () => {
      await container.attach('poweroff');
      await container.waitStopped();
      expect(await container.state()).toBe('STOPPED');
    });
  });

  describe('of the ovz template', () => {
    let container: TemplateContainer;
    beforeAll(async () => void (container = await startTemplate(second.ovz, bridge)));
    afterAll(() => container?.remove());

    testAlpineContainer(
      (command) => container.attachText(command),
      () => second.ovz,
      'dropbear',
    );
  });

  function testAlpineContainer(
    text: RunText,
    version: () => BuiltVersion,
    ssh: 'sshd' | 'dropbear' = 'sshd',
  ): void {
    testAlpineSystem(text, version, ssh);

    it('lets in by ssh whoever has the key that the image was built with', async () => {
      const read = (): Promise<string> => text('ip -4 addr show dev eth0');
      await expect.poll(read, { timeout: 120_000 }).toContain('inet ');
      const address = /inet (\S+)\//.exec(await read())![1]!;
      const { stdout } = await runOverSsh({ address, port: 22, key: images.key }, 'treeline version');
      expect(stdout.trim()).toBe(version().manifest.version);
    });

    it('shows the deployment of the manifest’s commit, and holds the user’s own overlay', async () => {
      const { commit, ref } = version().manifest;
      const status = await text('ostree admin status');
      expect(status).toContain(`* treeline ${commit}.0`);
      expect(status).toContain(`origin refspec: treeline:${ref}`);
      expect(await text(inGuest.program)).toBe('Hello, world!');
      expect(await text(`cat ${inGuest.serviceMarker}`)).toBe('started in runlevel default');
      expect(await text(`cat ${inGuest.hook}`)).toMatch(
        new RegExp(`^target ${ref.split('/').at(-1)}\nBusyBox v`),
      );
    });
  }
});
