import { readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Box, boxNote, boxSkipped, sleepers } from './box.ts';
import { serviceRootfs } from './busybox.ts';

interface Health {
  result: string;
  checks: { name: string; kind: string; result: string; seconds: number; message: string }[];
}

let box: Box;
beforeEach(() => {
  box = new Box();
});
afterEach(() => box.remove());

const targetRootfs = join(import.meta.dirname, '../../overlays/target/vm/rootfs');
const own = 'etc/treeline/health.d';
const shipped = 'usr/lib/treeline/health.d';

describe.skipIf(boxSkipped)(`treeline health${boxNote}`, () => {
  beforeEach(() => {
    // These are tested below.
    box.sh(`rm -r /${shipped}/*/*`);
  });
  const health = (): Health => JSON.parse(box.sh('treeline health --json').stdout) as Health;

  it('is content where there is nothing to check', () => {
    expect(box.sh('treeline health')).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(health()).toEqual({ result: 'good', checks: [] });
  });

  it('runs required checks and then wanted ones, in the order of their names, and says what failed', () => {
    box.program(`${own}/required/b`, 'echo all is well');
    box.program(`${shipped}/required/a`, 'echo first; echo "no disk" >&2; exit 3');
    box.program(`${own}/wanted/0`, 'exit 4');
    expect(box.sh('treeline health')).toEqual({
      status: 1,
      stdout: [
        'required  a            failed: no disk\n',
        'required  b            ok\n',
        'wanted    0            failed: exit code 4\n',
      ].join(''),
      stderr: '',
    });
    expect(health()).toMatchObject({
      result: 'failed',
      checks: [
        { name: 'a', kind: 'required', result: 'failed', message: 'no disk' },
        { name: 'b', kind: 'required', result: 'ok', message: 'all is well' },
        { name: '0', kind: 'wanted', result: 'failed', message: 'exit code 4' },
      ],
    });
  });

  it('does not count a wanted check that fails', () => {
    box.program(`${own}/wanted/a`, 'false');
    expect(box.sh('treeline health')).toMatchObject({ status: 0 });
  });

  it('takes a file of /etc for one of that name in /usr, and leaves out what is switched off', () => {
    for (const name of ['replaced', 'linked', 'dangling', 'kept']) {
      box.program(`${shipped}/required/${name}`, 'echo shipped; exit 1');
    }
    box.program(`${own}/required/replaced`, 'echo own');
    box.program(`${own}/required/kept~`, 'echo backup');
    box.write(`${own}/required/plain`, '#!/bin/sh\n');
    symlinkSync('/dev/null', join(box.root, own, 'required/linked'));
    symlinkSync('/nowhere', join(box.root, own, 'required/dangling'));
    expect(health().checks.map(({ name, message }) => ({ name, message }))).toEqual([
      { name: 'kept', message: 'shipped' },
      { name: 'replaced', message: 'own' },
    ]);
  });

  it('ends a check that takes longer than it said, with all that it has started', () => {
    box.program(
      `${own}/required/slow`,
      '# limit: 1\nsleep 1000 & echo begun; trap "" TERM; sleep 1000; sleep 1000',
    );
    const { status, stdout } = box.sh(`treeline health; echo "code $?"; ${sleepers}`);
    expect({ status, stdout }).toEqual({
      status: 1,
      stdout: 'required  slow         failed: still ran after 1 seconds\ncode 1\n',
    });
  });

  it('ends what a check leaves behind', () => {
    box.program(`${own}/required/a`, 'sleep 1000 & exit 0');
    expect(box.sh(`treeline health >/dev/null; ${sleepers}`).stdout).toBe('');
  });

  it('ends its check when it is stopped itself', () => {
    box.program(`${own}/required/a`, 'touch /run/begun; sleep 1000');
    const { stdout } = box.sh(`
      treeline health & process=$!
      until [ -e /run/begun ]; do usleep 10000; done
      kill $process; wait $process; echo "code $?"; ${sleepers}
      ls -d /run/treeline.*`);
    expect(stdout).toBe('code 130\n');
  });

  it('gives each check the same small environment, and the time it has', () => {
    box.program(
      `${own}/required/a`,
      '# limit: 7\nenv | grep -v "^PWD\\|^SHLVL\\|^OLDPWD\\|^_=" | sort | xargs',
    );
    box.program(`${own}/wanted/b`, 'echo "$TREELINE_LIMIT"; cat; echo "end of input"');
    expect(health().checks.map(({ message }) => message)).toEqual([
      'LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin TREELINE_CHECK=hand TREELINE_LIMIT=7',
      'end of input',
    ]);
  });

  it.each([
    ['control characters', String.raw`printf 'a\033[31mb\001\n'`, 'a[31mb'],
    ['quotes and backslashes', String.raw`printf '%s\n' '\"x\"' "it's"`, "it's"],
    ['a backslash and a quote', String.raw`printf '%s\n' '\n "x" \'`, String.raw`\n "x" \\`.slice(0, -1)],
    ['what is no ASCII', String.raw`printf 'a\377\303\244b\n\n  \n'`, 'ab'],
    ['very long lines', 'head -c 3000 /dev/zero | tr "\\0" x', 'x'.repeat(200)],
  ])('makes one short harmless line of %s', (_, lines, message) => {
    box.program(`${own}/required/a`, `${lines}\nexit 1`);
    expect(health().checks[0]?.message).toBe(message);
  });

  it('stops a check that prints without end', () => {
    box.program(`${own}/required/a`, '# limit: 100\nyes');
    expect(health().checks[0]).toMatchObject({ result: 'failed', message: 'y' });
  });

  it('refuses arguments that it does not know', () => {
    expect(box.sh('treeline health now')).toMatchObject({ status: 2 });
  });
});

/** Sources a shipped check, `lines` before it: what they define stands for programs of the real system. Time is counted in sleeps. */
const check = (name: string, lines = '', more = '') =>
  box.sh(`
sleep() { echo "$1" >>/run/slept; }
cut() { awk '{ seconds += $1 } END { print seconds + 0 }' /run/slept; }
touch /run/slept
TREELINE_LIMIT=9 TREELINE_CHECK=boot
${lines}
. /${shipped}/${name} ${more}`);

describe.skipIf(boxSkipped)(`the check of services${boxNote}`, () => {
  const services = (how: string) => check('required/services', `TREELINE_CHECK=${how}`);
  const deptree = (...names: string[]): void =>
    box.write('run/openrc/deptree', names.map((name, at) => `depinfo_${at}_service='${name}'\n`).join(''));
  beforeEach(() => {
    box.write('run/openrc/softlevel', 'default\n');
    for (const name of ['sshd', 'crond', 'zram']) box.write(`etc/runlevels/default/${name}`, '');
    for (const name of ['sshd', 'crond']) box.write(`run/openrc/started/${name}`, '');
    deptree('sshd', 'crond');
  });

  it('passes where all that can run here have started', () => {
    expect(services('boot')).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  it('names those that failed, crashed or did not start', () => {
    deptree('sshd', 'crond', 'zram');
    box.write('run/openrc/failed/hwclock', '');
    box.write('run/crashed', ' crond\n');
    expect(services('boot')).toMatchObject({
      status: 1,
      stdout: 'not started, failed or crashed: crond hwclock zram\n',
    });
  });

  it('counts for a version on trial only what did not fail before it', () => {
    box.write('run/openrc/failed/hwclock', '');
    expect(services('trial').status).toBe(1);
    expect(services('boot').status).toBe(1);
    expect(services('trial')).toMatchObject({ status: 0, stdout: '' });
    box.write('run/crashed', ' crond\n');
    expect(services('trial')).toMatchObject({ status: 1, stdout: 'not started, failed or crashed: crond\n' });
    box.sh('rm /run/openrc/failed/hwclock /run/crashed');
    expect(services('boot').status).toBe(0);
    box.write('run/openrc/failed/hwclock', '');
    expect(services('trial').status).toBe(1);
  });

  it('fails where the runlevel is not reached', () => {
    box.write('run/openrc/rc.starting', '');
    expect(services('boot').stdout).toContain('the default runlevel is not reached');
  });
});

describe.skipIf(boxSkipped)(`the check of the network${boxNote}`, () => {
  const network = (how: string, addresses: string, more = '') =>
    check('required/network', `ip() { printf "%s" "${addresses}"; }; TREELINE_CHECK=${how}`, more);
  const address = '2: eth0    inet 192.0.2.5/24 scope global eth0';
  const had = 'var/lib/treeline/had-address';

  it('asks nothing of a machine that never had an address', () => {
    for (const how of ['trial', 'boot', 'hand'])
      expect(network(how, '')).toMatchObject({ status: 0, stdout: '' });
  });

  it('asks a version on trial for an address where there was one before it', () => {
    expect(network('boot', address).status).toBe(0);
    for (const addresses of ['', '2: eth0    inet 169.254.7.7/16 scope global eth0']) {
      expect(network('trial', addresses)).toMatchObject({
        status: 1,
        stdout: 'no address: no interface has got one, and there was one before\n',
      });
    }
    expect(network('trial', address).status).toBe(0);
  });

  it('forgets the address of a machine that lost it without a new version', () => {
    network('boot', address);
    expect(network('hand', '').status).toBe(1);
    expect(network('boot', '').status).toBe(1);
    expect(network('trial', '').status).toBe(0);
  });

  it('notes at shutdown an address that came late', () => {
    network('boot', address, '--remember');
    expect(box.sh(`ls /${had}`).status).toBe(0);
  });
});

describe.skipIf(boxSkipped)(`the check of /var${boxNote}`, () => {
  it('passes, and leaves nothing behind', () => {
    expect(check('required/var')).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(readdirSync(join(box.root, 'var/lib/treeline'))).toEqual([]);
  });

  it('fails where it is full', () => {
    const full = 'df() { echo Filesystem; echo "/dev/vda3 100 100 12 100% /var"; }';
    expect(check('required/var', full)).toMatchObject({
      status: 1,
      stdout: '/var is full: 12 kB are free\n',
    });
  });

  it('fails where nothing can be written', () => {
    box.sh('rmdir /var/lib/treeline');
    box.write('var/lib/treeline', 'in the way');
    expect(check('required/var')).toMatchObject({ status: 1, stdout: '/var cannot be written\n' });
  });
});

describe.skipIf(boxSkipped)(`the check of ssh${boxNote}`, () => {
  const path = 'usr/lib/treeline/health.d/required/ssh';
  const ssh = (service: string, answer: string) => {
    box.write(path, readFileSync(join(serviceRootfs(service), path), 'utf8'));
    return check('required/ssh', `timeout() { shift; echo "$*" >>/run/asked; ${answer}; }`);
  };
  beforeEach(() => {
    box.write('etc/runlevels/default/dropbear', '');
    box.write('etc/conf.d/dropbear', 'DROPBEAR_PORTS="22 192.0.2.1:2222 [2001:db8::1]:23 [::]:24"\n');
  });

  it('asks dropbear where it listens', () => {
    expect(ssh('dropbear', '[ "$5" != 24 ] || echo SSH-2.0-dropbear')).toEqual({
      status: 0,
      stdout: '',
      stderr: '',
    });
    expect(box.read('run/asked')).toBe(
      'nc -w 5 127.0.0.1 22\nnc -w 5 192.0.2.1 2222\nnc -w 5 2001:db8::1 23\nnc -w 5 ::1 24\n',
    );
  });

  it.each(['false', 'echo "220 ftp"', 'echo'])('fails where the answer is that of %j', (answer) => {
    expect(ssh('dropbear', answer)).toMatchObject({
      status: 1,
      stdout: 'nothing answers as ssh does at 22 192.0.2.1:2222 [2001:db8::1]:23 [::]:24\n',
    });
  });

  it('asks nothing of a server that does not start by itself', () => {
    box.sh('rm /etc/runlevels/default/dropbear');
    expect(ssh('dropbear', 'false').status).toBe(0);
  });

  it('asks OpenSSH where it listens', () => {
    box.write('etc/runlevels/default/sshd', '');
    box.program('usr/bin/sshd', 'printf "port 22\\nlistenaddress 0.0.0.0:22\\nlistenaddress [::]:22\\n"');
    expect(ssh('sshd/base/alpine', 'false')).toMatchObject({
      status: 1,
      stdout: 'nothing answers as ssh does at 0.0.0.0:22 [::]:22\n',
    });
    expect(ssh('sshd/base/alpine', 'echo SSH-2.0-OpenSSH_9.6').status).toBe(0);
    expect(box.read('run/asked')).toContain('nc -w 5 127.0.0.1 22\nnc -w 5 ::1 22\n');
  });

  it('is the same for dropbear on both bases', () => {
    expect(readFileSync(join(serviceRootfs('sshd/base/debian'), '..', 'rootfs', path), 'utf8')).toBe(
      readFileSync(join(serviceRootfs('dropbear'), path), 'utf8'),
    );
  });
});

describe.skipIf(boxSkipped)(`the clock${boxNote}`, () => {
  const year2026 = 1767225600;
  const now = (): number => Math.floor(Date.now() / 1000);
  const floor = (known: string) =>
    box.sh(`. /usr/lib/treeline/known-time.sh; ${known}; newest_known_time`).stdout.trim();
  const setLate = (seconds: number): string =>
    `mkdir -p /run/treeline; echo "${now() - seconds} 0" >/run/treeline/clock-was-set`;

  it('is never before the newest time that is known', () => {
    expect(floor(':')).toBe('0');
    box.write('usr/lib/treeline/image.conf', `TREELINE_REF='x'\nTREELINE_EPOCH='${year2026}'\n`);
    expect(floor(':')).toBe(String(year2026));
    expect(floor(`touch -d @${year2026 + 5} /var/lib/treeline/clock`)).toBe(String(year2026 + 5));
  });

  it('does not come from an update index, whose publisher may have a clock that is ahead', () => {
    box.write('var/lib/treeline/index-time', String(year2026 + 9));
    expect(floor(':')).toBe('0');
  });

  it.each([
    { clock: 0, set: true },
    { clock: year2026 - 1, set: true },
    { clock: year2026, set: false },
    { clock: year2026 + 5, set: false },
  ])('is set forward at boot where it is behind: at $clock, $set', ({ clock, set }) => {
    box.write('usr/lib/treeline/image.conf', `TREELINE_EPOCH='${year2026}'\n`);
    box.write('run/clock-floor', readFileSync(join(targetRootfs, 'etc/init.d/clock-floor'), 'utf8'));
    const { status, stderr } = box.sh(`
ebegin() { :; }
eend() { return $1; }
date() { case "$*" in +%s) echo ${clock} ;; *-s*) echo "$*" >/run/set ;; *) command date "$@" ;; esac; }
. /run/clock-floor; start`);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(box.read('run/set')).toBe(set ? `-u -s @${year2026}\n` : '');
    expect(box.read('run/treeline/clock-was-set')).toMatch(set ? new RegExp(`^${year2026} \\d+\n$`) : /^$/);
  });

  it('is noted when the machine goes down', () => {
    box.write('run/clock-floor', readFileSync(join(targetRootfs, 'etc/init.d/clock-floor'), 'utf8'));
    expect(floor('(. /run/clock-floor; stop)')).toMatch(/^\d+$/);
    expect(Math.abs(Number(floor(':')) - now())).toBeLessThan(60);
  });

  it('is fine where nothing speaks against it', () => {
    expect(check('wanted/clock')).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  it('is wrong where it is behind', () => {
    floor(`touch -d @${now() + 86_400} /var/lib/treeline/clock`);
    expect(check('wanted/clock').stdout).toMatch(/^the clock is wrong: it says 20\d\d-/);
  });

  it('is wrong where it was behind at boot and still runs from there', () => {
    const result = check('wanted/clock', setLate(0));
    expect(result).toMatchObject({
      status: 1,
      stdout: 'the clock was behind at boot, and no time server has set it since\n',
    });
  });

  it('is fine where it was behind at boot and has been set since', () => {
    expect(check('wanted/clock', setLate(1000)).status).toBe(0);
  });
});
