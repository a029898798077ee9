import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  addLocalAccounts,
  expectServices,
  mergedAccounts,
  readAccounts,
  testAlpineSystem,
} from './alpine-system.ts';
import { measured, seconds } from './figures.ts';
import { findDelta, givenAlpine } from './given.ts';
import type { Machine } from './machine.ts';
import { clockError, startMachine } from './machine.ts';
import { inGuest } from './overlay.ts';
import type { Recorder } from './server.ts';
import { startRecorder } from './server.ts';

const { images, versions, skipped, note } = await givenAlpine(['qemu-system-x86_64', 'qemu-img', 'ssh']);

describe.skipIf(skipped)(`an Alpine machine with 128 MiB, started by BIOS${note}`, () => {
  const { first, second } = versions;
  let vm: Machine;
  let recorder: Recorder;

  beforeAll(async () => {
    recorder = await startRecorder(images.serverPort);
    vm = await startMachine(first.vm, { memory: 128, key: images.key });
  });
  afterAll(async () => {
    await vm?.remove();
    await recorder?.stop();
  });
  const text = (command: string): Promise<string> => vm.sshText(command);

  describe('that runs version one', () => {
    testAlpineSystem(text, () => first.vm);

    it('is let in by OpenSSH, and shows the deployment of the manifest’s commit', async () => {
      const { commit, version } = first.vm.manifest;
      expect(await vm.sshText('readlink /proc/$(pidof sshd | tr " " "\\n" | tail -n 1)/exe')).toBe(
        '/usr/sbin/sshd',
      );
      const status = await vm.sshText('ostree admin status');
      expect(status).toContain(`* treeline ${commit}.0`);
      expect(status).toContain(`origin refspec: treeline:${first.vm.manifest.ref}`);
      expect(await vm.sshText('treeline status')).toMatch(
        new RegExp(`^running\\s+${version} \\(commit ${commit.slice(0, 12)}\\)$`, 'm'),
      );
    });

    it('has its root and /boot mounted read-only', async () => {
      const mounts = await vm.sshText(`awk '$2 == "/" || $2 == "/boot" { print $2, $4 }' /proc/mounts`);
      expect(mounts).toMatch(/^\/ ro\b/m);
      expect(mounts).toMatch(/^\/boot ro\b/m);
      expect(mounts).not.toMatch(/ rw\b/);
      expect(await vm.refused('touch /boot/e2e')).toContain('Read-only file system');
    });

    it('has an address, a route and a resolver by DHCP, and the right time', async () => {
      expect(await vm.sshText('ip -4 addr show dev eth0')).toContain('inet 10.0.2.15/24');
      expect(await vm.sshText('ip route')).toContain('default via 10.0.2.2 dev eth0');
      expect(await vm.sshText('cat /etc/resolv.conf')).toContain('nameserver 10.0.2.3');
      expect(await clockError((command) => vm.sshText(command))).toBeLessThan(5);
    });

    it('has the services that were added by name: swap in memory before the disk’s, settings, upgrades, chrony', async () => {
      const swaps = await vm.sshText('tail -n +2 /proc/swaps');
      const priorities = new Map(
        swaps.split('\n').map((line) => {
          const fields = line.split(/\s+/);
          return [/zram/.test(fields[0]!) ? 'zram' : 'disk', Number(fields[4])] as const;
        }),
      );
      expect(priorities.get('zram')).toBe(100);
      expect(priorities.get('disk')).toBeLessThan(100);
      expect(await vm.sshText('sysctl -n net.ipv4.tcp_congestion_control net.core.somaxconn')).toBe(
        'bbr\n16384',
      );
      expect(await vm.sshText('ip link show dev eth0')).toContain('qdisc fq ');
      expect(await vm.sshText('ulimit -n')).toBe('65536');
      expect(await vm.sshText('pidof chronyd')).toMatch(/^\d+/);
      expect(await vm.sshText('rc-service auto-upgrade status')).toContain('started');
      await vm.sshText('rc-service auto-upgrade stop');
      expect(await vm.sshText('pgrep -f treeline/[a]uto-upgrade || true')).toBe('');
    });

    it('has loaded, before its root was mounted, what no hardware asks for', async () => {
      expect(await vm.sshText('lsmod')).toMatch(/^squashfs\s/m);
    });

    it('swaps, logs by syslog, and offers logins on the serial console and on tty1', async () => {
      expect(await vm.sshText('cat /proc/swaps')).toMatch(/^\/dev\/\S+\s+partition\s+\d+/m);
      const log = await vm.sshText('cat /var/log/messages');
      expect(log).toContain('default runlevel reached');
      expect(log).toMatch(/kernel: .*Linux version/);
      const processes = await vm.sshText('ps -o args');
      for (const terminal of ['ttyS0', 'tty1'])
        expect(processes).toMatch(new RegExp(`getty .*\\b${terminal}\\b`));
    });

    it('holds the package, file, service and hook of the user’s own overlay', async () => {
      expect(await vm.sshText(inGuest.program)).toBe('Hello, world!');
      expect(await vm.sshText(`cat ${inGuest.changed}`)).toBe('version one');
      expect(await vm.sshText(`cat ${inGuest.serviceMarker}`)).toBe('started in runlevel default');
      expect(await vm.sshText(`cat ${inGuest.hook}`)).toMatch(/^target vm\nBusyBox v/);
    });

    it('uses no more memory than 128 MiB have', async () => {
      const free = await vm.sshText('free -m');
      measured('Alpine: memory in the guest of 128 MiB', `\n${free}`);
      expect(Number(/^Mem:.*\s(\d+)$/m.exec(free)![1])).toBeGreaterThan(16);
    });
  });

  describe('that is offered version two', () => {
    it('downloads one file, the delta between the two, and has it ready for the next boot', async () => {
      await vm.sshText(`${addLocalAccounts}; echo 'my data' >/var/lib/e2e-data`);
      const delta = await findDelta(images, first.vm, second.vm);
      recorder.takeRequests();
      const before = performance.now();
      const { stdout, stderr, exitCode } = await vm.upgrade(recorder.port);
      measured('Alpine: treeline upgrade in 128 MiB', seconds(performance.now() - before));
      measured('Alpine: the delta of two packages', `${delta.bytes} bytes`);
      expect({ exitCode, output: stdout + stderr }).toMatchObject({ exitCode: 0 });
      expect(recorder.takeRequests().map(({ path }) => path)).toEqual([
        '/updates/index.json',
        expect.stringMatching(/^\/updates\/index-[0-9a-f]{16}\.sig$/),
        `/updates/${delta.file}`,
      ]);
      expect(await vm.sshText('treeline version')).toBe(first.vm.manifest.version);
    });
  });

  describe('after a reboot', () => {
    beforeAll(() => vm.reboot());

    it('runs version two, with its packages', async () => {
      const { commit, version } = second.vm.manifest;
      expect(await vm.sshText('ostree admin status')).toContain(`* treeline ${commit}.0`);
      expect(await vm.sshText('treeline version')).toBe(version);
      const packages = await vm.sshText('apk info -v 2>&1');
      expect(packages).toMatch(/^hello-1\.1-r0$/m);
      expect(packages).toMatch(/^linux-virt-\d\S*-r1$/m);
      expect(await vm.sshText(`cat ${inGuest.changed} ${inGuest.added} /var/lib/e2e-data`)).toBe(
        'version two\nonly in version two\nmy data',
      );
    });

    it('loads modules of the kernel whose package has them compressed', async () => {
      expect(await vm.sshText('lsmod')).toMatch(/^virtio_blk\s/m);
      expect(await vm.sshText('modprobe dummy && lsmod')).toMatch(/^dummy\s/m);
    });

    it('has the new package’s user beside the local one in files that were changed on the machine', async () => {
      expect(await readAccounts(text)).toEqual(mergedAccounts);
    });
  });

  describe('rolled back, and started by UEFI', () => {
    beforeAll(async () => {
      await vm.sshText('treeline rollback', { timeoutMs: 300_000 });
      await vm.reboot('reboot', { uefi: true, memory: 256 });
    });

    it('runs version one again, with its packages and the local user', async () => {
      expect(await vm.sshText('treeline version')).toBe(first.vm.manifest.version);
      expect(await vm.sshText('apk info -v 2>&1')).toMatch(/^hello-1\.0-r0$/m);
      expect(await vm.sshText('id -un local; cat /var/lib/e2e-data')).toBe('local\nmy data');
    });

    it('has every service started, and its firmware’s variables', async () => {
      await expectServices(text);
      expect(await vm.sshText('ls /sys/firmware/efi')).not.toBe('');
    });

    it('powers off', async () => {
      await vm.ssh('poweroff');
      expect(await vm.waitExit(120_000)).toBe(0);
    });
  });
});
