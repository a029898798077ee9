import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Container } from '../helpers/lxc.ts';
import { startContainer } from '../helpers/lxc.ts';
import { runOverSsh } from '../helpers/ssh.ts';
import type { Bridge } from './bridge.ts';
import { createBridge } from './bridge.ts';
import { artifact, findDelta, givenImages, measured, readyMessage, seconds, serviceStates } from './given.ts';
import type { BuiltVersion } from './images.ts';
import { inGuest } from './overlay.ts';
import type { Recorder } from './server.ts';
import { flipByte, startRecorder } from './server.ts';

const { images, skipped, note } = givenImages(['lxc-start', 'lxc-create', 'ip', 'busybox']);

interface Created {
  rootfs: string;
  /** LXC configuration that came with the template. */
  config: string[];
}

/** By LXC's own means: the template `local` takes metadata and root file system. */
async function createByLxc(version: BuiltVersion, directory: string): Promise<Created> {
  const template = ['--metadata', artifact(version, '-meta.tar.xz'), '--fstree', rootTarball(version)];
  const name = 'created';
  await execa('lxc-create', [
    '--lxcpath',
    directory,
    '--name',
    name,
    '--template',
    'local',
    '--',
    ...template,
  ]);
  const config = await readFile(join(directory, name, 'config'), 'utf8');
  return {
    rootfs: join(directory, name, 'rootfs'),
    // Name, place and network are the test's.
    config: config.split('\n').filter((line) => !/^(#|lxc\.(uts|rootfs|net)\b|$)/.test(line)),
  };
}

const rootTarball = (version: BuiltVersion): string =>
  artifact(version, `lxc-${version.manifest.version}.tar.xz`);

/** As vzctl does: the tarball, unpacked. What OpenVZ's kernel would do is not here; LXC stands in for it. */
async function unpackForOpenvz(version: BuiltVersion, directory: string): Promise<Created> {
  const rootfs = join(directory, 'private');
  await mkdir(rootfs);
  await execa('tar', [
    '--extract',
    '--numeric-owner',
    '--xattrs',
    `--directory=${rootfs}`,
    `--file=${artifact(version, '.tar.gz')}`,
  ]);
  return { rootfs, config: [] };
}

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
    ['lxc', 'made by lxc-create', createByLxc],
    ['ovz', 'unpacked as for OpenVZ', unpackForOpenvz],
  ] as const)('of the %s template, %s', (target, _, create) => {
    let directory: string;
    let container: Container;
    let first: BuiltVersion;
    let second: BuiltVersion;

    beforeAll(async () => {
      first = images.first[target];
      second = images.second[target];
      directory = await mkdtemp(join(tmpdir(), 'treeline-template-'));
      const { rootfs, config } = await create(first, directory);
      const network = ['veth', bridge.name, 'up'].map(
        (value, index) => `lxc.net.0.${['type', 'link', 'flags'][index]} = ${value}`,
      );
      const start = performance.now();
      container = await startContainer({ rootfs, config: [...config, ...network] });
      await started();
      measured(`${target}: from lxc-start to the default runlevel`, seconds(performance.now() - start));
    });
    afterAll(async () => {
      await container?.destroy();
      if (directory === undefined) return;
      await execa('chattr', ['-R', '-f', '-i', directory], { reject: false });
      await rm(directory, { recursive: true, force: true });
    });

    let starts = 0;
    // A login prompt may swallow the console's last line before it, so the log counts.
    const started = async (): Promise<void> => {
      starts += 1;
      await container.waitFor(/default runlevel reached|login: $/);
      const count = `grep -c '${readyMessage}' /var/log/messages`;
      await vi.waitFor(
        async () => expect((await container.attach(count)).stdout).toBe(String(starts)),
        30_000,
      );
    };
    const refused = async (command: string): Promise<string> => {
      const { stdout, stderr, exitCode } = await container.attach(command);
      expect({ command, output: stdout + stderr, exitCode }).not.toMatchObject({ exitCode: 0 });
      return stdout + stderr;
    };
    const upgrade = () =>
      container.attach(`treeline upgrade --url http://${bridge.address}:${recorder.port}`, {
        timeoutMs: 120_000,
      });
    const reboot = async (): Promise<void> => {
      await container.attach('reboot');
      await started();
    };

    it.each(['/e2e', '/usr/e2e', '/usr/bin/e2e', '/sysroot/e2e'])('refuses to write %s', async (path) => {
      expect(await refused(`touch ${path}`)).toContain('Read-only file system');
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
        .poll(() => container.attachText('ip -4 addr show dev eth0'), { timeout: 20_000 })
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
        expect.objectContaining({ path: '/updates/index.json.sig', status: 200 }),
        { method: 'GET', path: `/updates/${delta.file}`, status: 200, bytes: delta.bytes },
      ]);
      expect(await container.attachText(`cat ${inGuest.changed}`)).toBe('version one');
    });

    it('runs version two after a reboot, with /etc and /var kept, and is up to date', async () => {
      await reboot();
      expect(await container.attachText('ostree admin status')).toContain(
        `* treeline ${second.manifest.commit}.0`,
      );
      expect(await container.attachText('treeline version')).toBe(second.manifest.version);
      expect(await container.attachText(`cat ${inGuest.changed} ${inGuest.added}`)).toBe(
        'version two\nonly in version two',
      );
      await refused(`ls ${inGuest.removed}`);
      expect(
        await container.attachText(
          `cat /etc/e2e-own.conf ${inGuest.configuration} ${inGuest.changedConfiguration} /var/lib/e2e-data`,
        ),
      ).toBe('my own\nsetting=mine\nsetting=two\nmy data');
      expect((await upgrade()).stdout).toContain('already up to date');
    });

    it('runs version one again after a rollback and a reboot, with /etc and /var kept', async () => {
      await container.attachText('treeline rollback');
      await reboot();
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
