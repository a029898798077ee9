import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { busybox, busyboxInstalled, library, serviceRootfs } from './busybox.ts';

const reason = '(skipped where busybox is not installed)';
const parts = join(serviceRootfs('auto-upgrade'), 'usr/lib/treeline/auto-upgrade.sh');
const sources = `${['common', 'boot-state', 'fleet-lock'].map((name) => `. ${library}/${name}.sh\n`).join('')}. ${parts}\n`;
const schedule = (lines: string): string => busybox(['sh', '-c', `set -u\n${sources}${lines}`]).stdout.trim();

describe.skipIf(!busyboxInstalled)(`the times of auto-upgrade ${reason}`, () => {
  it.each([
    ['03-05', '00:00:00', 3 * 3600],
    ['03-05', '02:59:59', 1],
    ['03-05', '03:00:00', 0],
    ['03-05', '04:59:59', 0],
    ['03-05', '05:00:00', 22 * 3600],
    ['22-04', '23:08:09', 0],
    ['22-04', '03:59:59', 0],
    ['22-04', '04:00:00', 18 * 3600],
    ['22-24', '23:59:59', 0],
    ['22-24', '00:00:00', 22 * 3600],
    ['08-09', '07:59:08', 52],
    ['00-24', '12:00:00', 0],
  ])('the window %s is %s seconds before, at %s', (window, now, seconds) => {
    expect(schedule(`seconds_until_window ${window} ${now}`)).toBe(String(seconds));
  });

  it.each(['03-05', '22-04', '00-24', '08-09', '19-20'])('%s is a window', (window) => {
    expect(schedule(`is_window ${window} && echo yes`)).toBe('yes');
  });

  it.each(['3-5', '03-03', '03-25', '0305', '03-05-07', 'a3-b5', '-', '30-31', ''])(
    '%j is none',
    (window) => {
      expect(schedule(`is_window '${window}' || echo no`)).toBe('no');
    },
  );

  it('are random from nothing to the most', () => {
    const drawn = schedule('for i in $(seq 200); do random_up_to 3; done').split('\n');
    expect(new Set(drawn)).toEqual(new Set(['0', '1', '2', '3']));
    expect(schedule('random_up_to 0')).toBe('0');
  });
});

describe.skipIf(!busyboxInstalled)(`auto-upgrade ${reason}`, () => {
  const settings = {
    UPGRADE_INTERVAL: '86400',
    UPGRADE_DELAY: '0',
    UPGRADE_REBOOT: 'no',
    UPGRADE_REBOOT_WINDOW: '',
  };
  const check = (env: Record<string, string>) =>
    busybox(['sh', '-c', `${sources}check_settings`], { env: { ...settings, ...env } });

  it('accepts its default settings', () => {
    expect(check({})).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(check({ UPGRADE_REBOOT: 'yes', UPGRADE_REBOOT_WINDOW: '03-05' }).status).toBe(0);
  });

  it.each([
    ['UPGRADE_INTERVAL', '59', 'a number of seconds, at least 60'],
    ['UPGRADE_INTERVAL', '', 'a number of seconds, at least 60'],
    ['UPGRADE_DELAY', '1h', 'a number of seconds'],
    ['UPGRADE_REBOOT', 'maybe', 'yes or no'],
    ['UPGRADE_REBOOT_WINDOW', '3-5', 'empty, or hours like 03-05'],
  ])('refuses %s=%j, and says what it may be', (name, value, rule) => {
    expect(check({ [name]: value })).toEqual({
      status: 1,
      stdout: '',
      stderr: `treeline: ${name} in /etc/conf.d/auto-upgrade must be ${rule}, not "${value}"\n`,
    });
  });

  describe('running', () => {
    let work: string;
    let loop: ReturnType<typeof spawn>;
    const log = (): string => (existsSync(join(work, 'log')) ? readFileSync(join(work, 'log'), 'utf8') : '');
    /**
     * Functions stand in for what would change or end this machine: busybox prefers its own programs to those in PATH,
     * but a function to both.
     */
    const start = (url: string, { env = {}, ready = false, downloaded = false } = {}): void => {
      writeFileSync(join(work, 'image.conf'), `TREELINE_REF=r\nTREELINE_UPDATE_URL=${url}\n`);
      if (ready) writeFileSync(join(work, 'ready'), '');
      if (downloaded) writeFileSync(join(work, 'available'), 'c 2 1 downloaded\n');
      const script = `${sources}
image_settings=$WORK/image.conf settings=$WORK/none available=$WORK/available boot_result=$WORK/result
fleet_lock_held=$WORK/held first_retry=0 last_retry=0
treeline() {
	trap 'kill $!; echo ended >>"$WORK/log"; exit 130' TERM
	[ -z "$DEAF" ] || { trap 'DEAF=' TERM; echo begun >>"$WORK/log"; while [ -n "$DEAF" ]; do sleep 0.1; done; trap - TERM; exec sleep 1000; }
	echo "treeline: $*"
	[ -z "$SLOW" ] || { sleep 1000 & wait; }
	case "$*" in *--apply*)
		[ ! -e "$WORK/deny" ] || { rm "$WORK/deny"; exit 4; }
		[ -z "$BROKEN" ] || exit 1
		rm -f "$WORK/available"
	esac
}
logger() {
	shift 4
	if [ $# -gt 0 ]; then echo "log: $*"; else cat; fi >>"$WORK/log"
}
ostree() {
	[ ! -e "$WORK/ready" ] || echo '  treeline ${'b'.repeat(64)}.0'
	echo '* treeline ${'a'.repeat(64)}.0'
}
wget() { echo "wget $*" >>"$WORK/log"; }
timeout() { shift; "$@"; }
upgrade_forever`;
      loop = spawn('busybox', ['sh', '-c', script], {
        stdio: ['ignore', 'inherit', 'ignore'],
        env: { PATH: '/usr/bin:/bin', WORK: work, TMPDIR: work, ...settings, ...env },
      });
    };
    const stop = async (): Promise<number> => {
      const ended = once(loop, 'exit') as Promise<[number]>;
      loop.kill('SIGTERM');
      return (await ended)[0];
    };
    const aWhile = () => new Promise((resolve) => setTimeout(resolve, 300));
    beforeEach(() => {
      work = mkdtempSync(join(tmpdir(), 'treeline-upgrade-'));
    });
    afterEach(async () => {
      if (loop.exitCode === null) await stop();
      rmSync(work, { recursive: true, force: true });
    });

    it('upgrades, logs what that says, and ends with SIGTERM', async () => {
      start('http://updates.example.org');
      await expect.poll(log).toBe('upgrade\n');
      expect(await stop()).toBe(0);
      expect(log()).toBe('upgrade\n');
    });

    it('says once that there is no update URL', async () => {
      start('');
      await expect.poll(log).toMatch(/^log: no automatic upgrades: there is no TREELINE_UPDATE_URL in .*\n$/);
      expect(await stop()).toBe(0);
    });

    it('ends an upgrade that is under way when it is stopped', async () => {
      start('http://updates.example.org', { env: { SLOW: 'yes' } });
      await aWhile();
      expect(await stop()).toBe(0);
      expect(log()).toBe('ended\n');
    });

    it('ends what has lost the first signal, as a shell that is just being started does', async () => {
      start('http://updates.example.org', { env: { DEAF: 'yes' } });
      await expect.poll(log).toBe('begun\n');
      expect(await stop()).toBe(0);
    });

    const reboots = { UPGRADE_REBOOT: 'yes' };

    it('downloads, and then applies and reboots together, where it may', async () => {
      start('http://updates.example.org', { env: reboots, downloaded: true });
      await expect.poll(log).toBe('upgrade --download\nupgrade --apply --reboot\n');
    });

    it('does not reboot where nothing new is there', async () => {
      start('http://updates.example.org', { env: reboots });
      await expect.poll(log).toBe('upgrade --download\n');
      await aWhile();
      expect(log()).toBe('upgrade --download\n');
    });

    it('reboots into a version that somebody has made ready', async () => {
      start('http://updates.example.org', { env: reboots, ready: true });
      await expect.poll(log).toBe('upgrade --download\nupgrade --apply --reboot\n');
    });

    it('asks again where the reboot may not be now', async () => {
      writeFileSync(join(work, 'deny'), '');
      start('http://updates.example.org', { env: reboots, downloaded: true });
      await expect.poll(log).toBe('upgrade --download\nupgrade --apply --reboot\nupgrade --apply --reboot\n');
    });

    it('leaves an upgrade that fails for the next time', async () => {
      start('http://updates.example.org', { env: { ...reboots, BROKEN: 'yes' }, downloaded: true });
      await expect.poll(log).toBe('upgrade --download\nupgrade --apply --reboot\n');
      await aWhile();
      expect(log()).toBe('upgrade --download\nupgrade --apply --reboot\n');
    });

    it('waits for the hours in which it may reboot', async () => {
      const hour = (later: number): string => String((new Date().getHours() + later) % 24).padStart(2, '0');
      start('http://updates.example.org', {
        env: { ...reboots, UPGRADE_REBOOT_WINDOW: `${hour(2)}-${hour(3)}` },
        downloaded: true,
      });
      await expect.poll(log).toBe('upgrade --download\n');
      await aWhile();
      expect(log()).toBe('upgrade --download\n');
    });

    it.each([
      ['gives a reboot lock back after a good start', 'result=good\n', false],
      ['keeps a reboot lock after a start that was not good', 'result=fell-back\n', true],
    ])('%s', async (_, result, kept) => {
      writeFileSync(join(work, 'held'), '');
      writeFileSync(join(work, 'result'), result);
      start('http://updates.example.org');
      await expect.poll(log).toContain('upgrade\n');
      expect(existsSync(join(work, 'held'))).toBe(kept);
    });
  });
});
