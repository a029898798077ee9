import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { measured, seconds } from './figures.ts';
import { findDelta, givenImages, serviceStates } from './given.ts';
import type { Machine } from './machine.ts';
import { clockError, startMachine } from './machine.ts';
import { inGuest, rootPassword } from './overlay.ts';
import type { Recorder } from './server.ts';
import { flipByte, startRecorder } from './server.ts';
import { startTimeServer } from './time-server.ts';

const { images, versions, skipped, note } = await givenImages(['qemu-system-x86_64', 'qemu-img', 'ssh']);

describe.skipIf(skipped)(`a machine with 128 MiB, started by BIOS${note}`, () => {
  const { first, second } = versions;
  let vm: Machine;
  let recorder: Recorder;

  beforeAll(async () => {
    recorder = await startRecorder(images.serverPort);
    vm = await startMachine(first.vm, { ...images.running.machine, running: images.running });
  });
  afterAll(async () => {
    await vm?.remove();
    await recorder?.stop();
  });

  /** Deployments, refs and boot entries: what an upgrade that fails must leave alone. */
  const systemState = (): Promise<string> =>
    vm.sshText(
      'ostree admin status; ostree refs --repo=/sysroot/ostree/repo; readlink /boot/loader; cat /boot/loader/entries/*',
      { timeoutMs: 300_000 },
    );
  const upgrade = () => vm.upgrade(recorder.port);

  describe('that runs version one', () => {
    it('logs in on the serial console with the password that a layer set', async () => {
      vm.send('\n');
      await vm.waitFor('login: ', 240_000);
      vm.send('root\n');
      await vm.waitFor('Password: ');
      vm.send(`${rootPassword}\n`);
      // Behind the prompt the shell asks the terminal where its cursor is.
      await vm.waitFor('# ', 240_000);
      vm.send('echo "sum $((40 + 2)) on $(tty)"\n');
      const [, terminal] = await vm.waitFor(/sum 42 on (\S+)\s/);
      expect(terminal).toBe('/dev/ttyS0');
      vm.send('exit\n');
      await vm.waitFor('login: ', 240_000);
    });

    it('uses no more memory than 128 MiB have', async () => {
      const free = await vm.sshText('free -m');
      const [total, used] = /^Mem:\s+(\d+)\s+(\d+)/m.exec(free)!.slice(1).map(Number) as [number, number];
      const available = /^Mem:.*\s(\d+)$/m.exec(free)![1];
      measured(
        'memory in the guest of 128 MiB',
        `${total} MiB in all, ${used} used, ${available} available\n${free}`,
      );
      expect(total).toBeLessThan(128);
      expect(Number(available)).toBeGreaterThan(16);
    });

    it.each(['/e2e', '/usr/e2e', '/usr/bin/e2e', '/boot/e2e', '/sysroot/e2e'])(
      'refuses to write %s',
      async (path) => {
        expect(await vm.refused(`touch ${path}`)).toContain('Read-only file system');
      },
    );

    it('writes /etc, /var, /tmp, and what links into /var', async () => {
      expect(
        await vm.sshText(
          'for d in /etc /var /tmp /home /root /opt /srv; do echo x >$d/e2e && rm $d/e2e || exit 1; done',
        ),
      ).toBe('');
    });

    it('has every service of the default runlevel started, and none crashed', async () => {
      const services = serviceStates(await vm.sshText('rc-status --nocolor default'));
      expect(services.length).toBeGreaterThan(4);
      expect(services.filter(({ state }) => state !== 'started')).toEqual([]);
      expect(await vm.ssh('rc-status --nocolor --crashed')).toMatchObject({ stdout: '' });
    });

    it('has an address, a route and a resolver by DHCP on its first interface', async () => {
      expect(await vm.sshText('ip -4 addr show dev eth0')).toContain('inet 10.0.2.15/24');
      expect(await vm.sshText('ip route')).toContain('default via 10.0.2.2 dev eth0');
      expect(await vm.sshText('cat /etc/resolv.conf')).toContain('nameserver 10.0.2.3');
    });

    it('has the right time', async () => {
      expect(await clockError((command) => vm.sshText(command))).toBeLessThan(5);
    });

    it('sets a wrong time right by ntpd', async (context) => {
      expect(await vm.sshText('ps -o user,comm | sort | uniq')).toMatch(/ntpd/);
      const server = await startTimeServer();
      if (server === undefined) return context.skip('port 123 of this machine is taken');
      try {
        await vm.sshText(`cp /etc/conf.d/ntpd /run/ntpd.before
          echo 'NTPD_SERVERS=10.0.2.2' >>/etc/conf.d/ntpd; echo 'NTPD_POOLS=' >>/etc/conf.d/ntpd
          date -s '2020-01-01 00:00:00'; rc-service ntpd restart`);
        await expect
          .poll(async () => Number(await vm.sshText('date +%s')), { timeout: 240_000, interval: 1000 })
          .toBeGreaterThan(Date.now() / 1000 - 10);
      } finally {
        server.stop();
        await vm.sshText('cp /run/ntpd.before /etc/conf.d/ntpd; rc-service ntpd restart');
      }
    });

    it('logs by syslog: its own start, what programs say, and the kernel', async () => {
      const log = await vm.sshText('logger -t e2e "words for the log"; sleep 1; cat /var/log/messages');
      expect(log).toMatch(/e2e: words for the log/);
      expect(log).toContain('default runlevel reached');
      expect(log).toMatch(/kernel: .*Linux version/);
    });

    it('offers logins on the serial console and on tty1', async () => {
      const processes = await vm.sshText('ps -o args');
      expect(processes).toMatch(/getty .*\bttyS0\b/);
      expect(processes).toMatch(/getty .*\btty1\b/);
    });

    it('shows the deployment of the manifest’s commit', async () => {
      const { commit, version } = first.vm.manifest;
      const status = await vm.sshText('ostree admin status');
      expect(status).toContain(`* treeline ${commit}.0`);
      expect(status).toContain(`Version: ${version}`);
      expect(status).toContain('origin refspec: treeline:treeline/debian-12/x86_64/vm');
      expect(await vm.sshText('treeline version')).toBe(version);
      expect(await vm.sshText('treeline status')).toMatch(
        new RegExp(`^running\\s+${version} \\(commit ${commit.slice(0, 12)}\\)$`, 'm'),
      );
    });

    it('finds its disks by UUID and label, whatever the kernel calls them', async () => {
      const rootfs = first.vm.manifest.partitions.find(({ role }) => role === 'rootfs')!;
      const kernelArguments = await vm.sshText('cat /proc/cmdline');
      expect(kernelArguments).toContain(`root=UUID=${rootfs.uuid}`);
      expect(kernelArguments).not.toContain('/dev/');
      const mounts = (await vm.sshText('cat /etc/fstab')).split('\n').filter((line) => /^[^#\s]/.test(line));
      expect(mounts.length).toBeGreaterThan(1);
      expect(mounts.filter((line) => !/^(UUID|LABEL)=/.test(line))).toEqual([]);
    });

    it('swaps to the swap partition and has /boot mounted', async () => {
      expect(await vm.sshText('cat /proc/swaps')).toMatch(/^\/dev\/\S+\s+partition\s+\d+/m);
      expect(await vm.sshText('grep " /boot " /proc/mounts')).toMatch(/ext4 ro,/);
    });

    it('holds the package, file, service and hook of the user’s own overlay', async () => {
      expect(await vm.sshText(inGuest.program)).toBe('Hello, world!');
      expect(await vm.sshText(`cat ${inGuest.changed}`)).toBe('version one');
      expect(await vm.sshText(`rc-service ${inGuest.service} status`)).toContain('started');
      expect(await vm.sshText(`cat ${inGuest.serviceMarker}`)).toBe('started in runlevel default');
      expect(await vm.sshText(`cat ${inGuest.hook}`)).toMatch(/^target vm\nBusyBox v/);
    });
  });

  describe('that is offered version two', () => {
    let stateBefore: string;

    beforeAll(async () => {
      stateBefore = await systemState();
      await vm.sshText(`echo 'my own' >/etc/e2e-own.conf; echo 'setting=mine' >${inGuest.configuration}
        echo 'my data' >/var/lib/e2e-data; echo 'at home' >/root/e2e-home`);
      recorder.takeRequests();
    });

    it.each([
      ['whose index has a damaged signature', /\.sig$/, 'not signed by the key of this image'],
      ['whose index was changed after it was signed', /index\.json$/, 'nobody has signed the update index'],
      ['whose delta is damaged', /\.delta$/, 'damaged on the way'],
    ])('refuses an update %s, and stays as it is', async (_, path, message) => {
      recorder.tamper(path, flipByte);
      try {
        const { stderr, stdout, exitCode } = await upgrade();
        expect(stdout + stderr).toContain(message);
        expect(exitCode).toBe(1);
      } finally {
        recorder.tamper();
      }
      expect(await systemState()).toBe(stateBefore);
    });

    it('says so on request, with exit code 3, and does nothing else', async () => {
      recorder.takeRequests();
      const { stdout, exitCode } = await vm.ssh(
        `treeline upgrade --check --url http://10.0.2.2:${recorder.port}`,
      );
      expect(exitCode).toBe(3);
      expect(stdout).toContain(second.vm.manifest.version);
      expect(recorder.takeRequests().map(({ path }) => path)).toEqual([
        '/updates/index.json',
        expect.stringMatching(/^\/updates\/index-[0-9a-f]{16}\.sig$/),
      ]);
    });

    it('downloads one file, the delta between the two, and has it ready for the next boot', async () => {
      const delta = await findDelta(images, first.vm, second.vm);
      const before = performance.now();
      const { stdout, stderr, exitCode } = await upgrade();
      measured('treeline upgrade in 128 MiB', seconds(performance.now() - before));
      measured('the delta of two small files', `${delta.bytes} bytes`);
      expect({ exitCode, output: stdout + stderr }).toMatchObject({ exitCode: 0 });
      expect(recorder.takeRequests()).toEqual([
        expect.objectContaining({ path: '/updates/index.json', status: 200 }),
        expect.objectContaining({
          path: expect.stringMatching(/^\/updates\/index-[0-9a-f]{16}\.sig$/),
          status: 200,
        }),
        { method: 'GET', path: `/updates/${delta.file}`, status: 200, bytes: delta.bytes },
      ]);
    });

    it('still runs version one until it is rebooted', async () => {
      expect(await vm.sshText(`cat ${inGuest.changed}`)).toBe('version one');
      const status = await vm.sshText('treeline status');
      expect(status).toMatch(new RegExp(`^next boot\\s+${second.vm.manifest.version} `, 'm'));
      expect(status).toMatch(new RegExp(`^running\\s+${first.vm.manifest.version} `, 'm'));
      expect((await upgrade()).stdout).toContain('ready already');
      for (const path of ['/boot/e2e', '/sysroot/e2e']) {
        expect(await vm.refused(`touch ${path}`)).toContain('Read-only file system');
      }
    });
  });

  describe('after a reboot', () => {
    beforeAll(() => vm.reboot());

    it('runs version two', async () => {
      const { commit, version } = second.vm.manifest;
      expect(await vm.sshText('ostree admin status')).toContain(`* treeline ${commit}.0`);
      expect(await vm.sshText('treeline version')).toBe(version);
      expect(await vm.sshText(`cat ${inGuest.changed} ${inGuest.added}`)).toBe(
        'version two\nonly in version two',
      );
      await vm.refused(`ls ${inGuest.removed}`);
    });

    it('has kept what was changed in /etc and /var, and has what is new in /etc', async () => {
      expect(
        await vm.sshText(`cat /etc/e2e-own.conf ${inGuest.configuration} ${inGuest.changedConfiguration}`),
      ).toBe('my own\nsetting=mine\nsetting=two');
      expect(await vm.sshText('cat /var/lib/e2e-data /root/e2e-home')).toBe('my data\nat home');
    });

    it('is up to date, and says so', async () => {
      recorder.takeRequests();
      const { stdout, exitCode } = await upgrade();
      expect(stdout).toContain(`already up to date: version ${second.vm.manifest.version}`);
      expect(exitCode).toBe(0);
      expect(recorder.takeRequests().filter(({ path }) => path.endsWith('.delta'))).toEqual([]);
    });
  });

  describe('rolled back, and rebooted', () => {
    beforeAll(async () => {
      await vm.sshText('treeline rollback', { timeoutMs: 300_000 });
      await vm.reboot();
    });

    it('runs version one again, with /etc and /var as they were', async () => {
      expect(await vm.sshText('treeline version')).toBe(first.vm.manifest.version);
      expect(await vm.sshText(`cat ${inGuest.changed} ${inGuest.removed}`)).toBe(
        'version one\nonly in version one',
      );
      expect(await vm.sshText(`cat /etc/e2e-own.conf ${inGuest.configuration} /var/lib/e2e-data`)).toBe(
        'my own\nsetting=mine\nmy data',
      );
    });

    it('powers off', async () => {
      await vm.ssh('poweroff');
      expect(await vm.waitExit()).toBe(0);
    });

    it('has left clean file systems behind', async () => {
      const raw = `${vm.disk}.img`;
      await execa('qemu-img', ['convert', '-O', 'raw', vm.disk, raw]);
      for (const { role, start: offset } of first.vm.manifest.partitions) {
        if (role !== 'boot' && role !== 'rootfs') continue;
        const superblock = await execa('dumpe2fs', ['-h', `${raw}?offset=${offset}`]);
        expect(superblock.stdout).toMatch(/^Filesystem state:\s+clean$/m);
        expect(superblock.stdout).not.toContain('needs_recovery');
        const check = await execa('e2fsck', ['-fn', `${raw}?offset=${offset}`], { reject: false });
        expect({ exitCode: check.exitCode, said: check.stdout }).toMatchObject({ exitCode: 0 });
      }
    });
  });
});
