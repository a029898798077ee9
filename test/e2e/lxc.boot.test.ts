import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runOverSsh } from '../helpers/ssh.ts';
import type { Bridge } from './bridge.ts';
import { createBridge } from './bridge.ts';
import { measured, seconds } from './figures.ts';
import { findDelta, givenImages, serviceStates } from './given.ts';
import type { BuiltVersion } from './images.ts';
import { inGuest } from './overlay.ts';
import type { Recorder } from './server.ts';
import { flipByte, startRecorder } from './server.ts';
import type { TemplateContainer } from './template.ts';
import { startTemplate } from './template.ts';

const { images, versions, skipped, note } = await givenImages(['lxc-start', 'lxc-create', 'ip', 'busybox']);

describe.skipIf(skipped)(`a container${note}`, () => {
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

  describe.each([
    { target: 'lxc', how: 'made by lxc-create' },
    { target: 'ovz', how: 'unpacked as for OpenVZ' },
  ] as const)('of the $target template, $how', ({ target }) => {
    let container: TemplateContainer;
    let first: BuiltVersion;
    let second: BuiltVersion;

    beforeAll(async () => {
      first = versions.first[target];
      second = versions.second[target];
      container = await startTemplate(first, bridge);
    });
    afterAll(() => container?.remove());

    const upgrade = () => container.upgrade(recorder.port);

    it.each(['/e2e', '/usr/e2e', '/usr/bin/e2e', '/sysroot/e2e'])('refuses to write %s', async (path) => {
      expect(await container.refused(`touch ${path}`)).toContain('Read-only file system');
    });

    it('writes /etc, /var, /tmp, and what links into /var', async () => {
      expect(
        await container.attachText(
          'for d in /etc /var /tmp /home /root /opt /srv; do echo x >$d/e2e && rm $d/e2e || exit 1; done',
        ),
      ).toBe('');
    });

    it('has every service of the default runlevel started, and none crashed', async () => {
      const services = serviceStates(await container.attachText('rc-status --nocolor default'));
      expect(services.length).toBeGreaterThan(2);
      expect(services.filter(({ state }) => state !== 'started')).toEqual([]);
      expect(await container.attach('rc-status --nocolor --crashed')).toMatchObject({ stdout: '' });
    });

    it('has an address by DHCP on its first interface', async () => {
      const network = bridge.address.replace(/\.1$/, '.');
      await expect
        .poll(() => container.attachText('ip -4 addr show dev eth0'), { timeout: 120_000 })
        .toContain(`inet ${network}`);
      expect(await container.attachText('ip route')).toContain(`default via ${bridge.address}`);
      expect(await container.attachText('cat /etc/resolv.conf')).toContain(`nameserver ${bridge.address}`);
    });

    it('logs by syslog', async () => {
      const log = await container.attachText(
        'logger -t e2e "words for the log"; sleep 1; cat /var/log/messages',
      );
      expect(log).toContain('e2e: words for the log');
    });

    it('lets in by ssh whoever has the key that the image was built with', async () => {
      const address = /inet (\S+)\//.exec(await container.attachText('ip -4 addr show dev eth0'))![1]!;
      const { stdout } = await runOverSsh({ address, port: 22, key: images.key }, 'treeline version');
      expect(stdout.trim()).toBe(first.manifest.version);
    });

    it('shows the deployment of the manifest’s commit', async () => {
      const status = await container.attachText('ostree admin status');
      expect(status).toContain(`* treeline ${first.manifest.commit}.0`);
      expect(status).toContain(`origin refspec: treeline:treeline/debian-12/x86_64/${target}`);
    });

    it('holds the package, file, service and hook of the user’s own overlay', async () => {
      expect(await container.attachText(inGuest.program)).toBe('Hello, world!');
      expect(await container.attachText(`cat ${inGuest.changed}`)).toBe('version one');
      expect(await container.attachText(`rc-service ${inGuest.service} status`)).toContain('started');
      expect(await container.attachText(`cat ${inGuest.serviceMarker}`)).toBe('started in runlevel default');
      expect(await container.attachText(`cat ${inGuest.hook}`)).toMatch(
        new RegExp(`^target ${target}\nBusyBox v`),
      );
    });

    it('refuses an update whose delta is damaged, and stays as it is', async () => {
      const state = 'ostree admin status; ostree refs --repo=/sysroot/ostree/repo; readlink /boot/loader';
      const before = await container.attachText(state);
      recorder.tamper(/\.delta$/, flipByte);
      try {
        const { stdout, stderr, exitCode } = await upgrade();
        expect(stdout + stderr).toContain('damaged on the way');
        expect(exitCode).toBe(1);
      } finally {
        recorder.tamper();
      }
      expect(await container.attachText(state)).toBe(before);
    });

    it('downloads one file, the delta between the two, and runs version one until it is rebooted', async () => {
      await container.attachText(`echo 'my own' >/etc/e2e-own.conf; echo 'setting=mine' >${inGuest.configuration}
        echo 'my data' >/var/lib/e2e-data`);
      const delta = await findDelta(images, first, second);
      recorder.takeRequests();
      const start = performance.now();
      const { stdout, stderr, exitCode } = await upgrade();
      measured(`${target}: treeline upgrade`, seconds(performance.now() - start));
      expect({ exitCode, output: stdout + stderr }).toMatchObject({ exitCode: 0 });
      expect(recorder.takeRequests()).toEqual([
        expect.objectContaining({ path: '/updates/index.json', status: 200 }),
        expect.objectContaining({
          path: expect.stringMatching(/^\/updates\/index-[0-9a-f]{16}\.sig$/),
          status: 200,
        }),
        { method: 'GET', path: `/updates/${delta.file}`, status: 200, bytes: delta.bytes },
      ]);
      expect(await container.attachText(`cat ${inGuest.changed}`)).toBe('version one');
    });

    it('runs version two after a reboot, with /etc and /var kept, and is up to date', async () => {
      await container.reboot();
      expect(await container.attachText('ostree admin status')).toContain(
        `* treeline ${second.manifest.commit}.0`,
      );
      expect(await container.attachText('treeline version')).toBe(second.manifest.version);
      expect(await container.attachText(`cat ${inGuest.changed} ${inGuest.added}`)).toBe(
        'version two\nonly in version two',
      );
      await container.refused(`ls ${inGuest.removed}`);
      expect(
        await container.attachText(
          `cat /etc/e2e-own.conf ${inGuest.configuration} ${inGuest.changedConfiguration} /var/lib/e2e-data`,
        ),
      ).toBe('my own\nsetting=mine\nsetting=two\nmy data');
      expect((await upgrade()).stdout).toContain('already up to date');
    });

    it('runs version one again after a rollback and a reboot, with /etc and /var kept', async () => {
      await container.attachText('treeline rollback');
      await container.reboot();
      expect(await container.attachText('treeline version')).toBe(first.manifest.version);
      expect(await container.attachText(`cat ${inGuest.changed} ${inGuest.removed}`)).toBe(
        'version one\nonly in version one',
      );
      expect(
        await container.attachText(`cat /etc/e2e-own.conf ${inGuest.configuration} /var/lib/e2e-data`),
      ).toBe('my own\nsetting=mine\nmy data');
    });

    it('powers off from the inside', async () => {
      await container.attach('poweroff');
      await container.waitStopped();
      expect(await container.state()).toBe('STOPPED');
    });
  });
});
