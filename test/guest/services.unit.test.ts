import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { busybox, busyboxInstalled, commonRootfs, serviceRootfs } from './busybox.ts';

const reason = '(skipped where busybox is not installed)';
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'treeline-service-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** Sources an OpenRC script with what openrc-run would have: its settings, and functions that print what they are told. */
function service(path: string, lines: string) {
  const [, rootfs, name] = /^(.*)\/etc\/init\.d\/(.*)$/.exec(path)!;
  const openrc = `
ebegin() { echo "begin: $*"; }
eend() { echo "end: $1 $2"; return $1; }
eerror() { echo "error: $*"; }
[ ! -e ${rootfs}/etc/conf.d/${name} ] || . ${rootfs}/etc/conf.d/${name}
. ${path}
`;
  return busybox(['sh', '-c', `${openrc}${lines}`]);
}

describe.skipIf(!busyboxInstalled)(`the service zswap ${reason}`, () => {
  const script = join(serviceRootfs('zswap'), 'etc/init.d/zswap');
  const parameter = (name: string): string => readFileSync(join(directory, name), 'utf8');

  it('switches the cache on, with a compressor and a share of the memory', () => {
    for (const name of ['enabled', 'compressor', 'max_pool_percent'])
      writeFileSync(join(directory, name), 'N\n');
    expect(service(script, `parameters=${directory}; start`)).toMatchObject({ status: 0, stderr: '' });
    expect(parameter('enabled')).toBe('Y\n');
    expect(parameter('compressor')).toBe('zstd\n');
    expect(parameter('max_pool_percent')).toBe('20\n');
    expect(service(script, `parameters=${directory}; stop`).status).toBe(0);
    expect(parameter('enabled')).toBe('N\n');
  });

  it('says what is wrong where the kernel has none', () => {
    expect(service(script, `parameters=${directory}/none; start`)).toEqual({
      status: 1,
      stdout: 'error: This kernel has no zswap\n',
      stderr: '',
    });
  });
});

describe.skipIf(!busyboxInstalled)(`the service zram ${reason}`, () => {
  const script = join(serviceRootfs('zram'), 'etc/init.d/zram');

  it.each(['0', '', 'half', '-5', '50%'])('refuses ZRAM_PERCENT=%j', (percent) => {
    const { status, stdout } = service(script, `ZRAM_PERCENT='${percent}'; start`);
    expect(status).toBe(1);
    expect(stdout).toBe(
      `error: ZRAM_PERCENT in /etc/conf.d/zram must be a number above 0, not "${percent}"\n`,
    );
  });

  it('takes its share of the memory, in whole pages', () => {
    const total = Number(/^MemTotal:\s+(\d+)/m.exec(readFileSync('/proc/meminfo', 'utf8'))![1]) * 1024;
    const bytes = Number(service(script, 'size_in_bytes').stdout);
    expect(bytes % 4096).toBe(0);
    expect(Math.abs(bytes - total / 2)).toBeLessThan(8192);
  });

  it('says what is wrong where the kernel has none', () => {
    const { status, stdout } = service(script, 'device=none; modprobe() { return 1; }; start');
    expect({ status, stdout }).toEqual({ status: 1, stdout: 'error: This kernel has no zram\n' });
  });

  it('keeps what is swapped out when the machine goes down', () => {
    const { status, stdout } = service(script, 'yesno() { [ "$1" = yes ]; }; RC_GOINGDOWN=yes; stop');
    expect({ status, stdout }).toEqual({ status: 0, stdout: '' });
  });
});

describe.skipIf(!busyboxInstalled)(`the service tweaks ${reason}`, () => {
  const script = join(serviceRootfs('tweaks'), '../target/vm/rootfs/etc/init.d/tweaks');

  it('writes values into files, and passes over files that are not there', () => {
    writeFileSync(join(directory, 'file'), '');
    const tweaks = `TWEAKS="${directory}/file=a=b\n\t${directory}/none=c"`;
    expect(service(script, `${tweaks}; start`)).toMatchObject({ status: 0, stderr: '' });
    expect(readFileSync(join(directory, 'file'), 'utf8')).toBe('a=b\n');
  });

  it('fails where a value is refused', () => {
    mkdirSync(join(directory, 'file'));
    const { status, stdout } = service(script, `TWEAKS=${directory}/file=1; start`);
    expect(status).toBe(1);
    expect(stdout).toContain(`error: ${directory}/file does not take 1\n`);
  });
});

describe.skipIf(!busyboxInstalled)(`the service bootmisc ${reason}`, () => {
  const link = (lines: string) =>
    service(
      join(commonRootfs, 'etc/init.d/bootmisc'),
      `cd ${directory}; ${lines}; link place target; readlink place`,
    );

  it.each([
    ['nothing', 'true'],
    ['an empty directory', 'mkdir place'],
    ['a directory that holds empty ones', 'mkdir -p place/subsys place/other'],
    ['a link that leads nowhere', 'ln -s nowhere place'],
    ['the link', 'ln -s target place'],
  ])('puts a link in the place of %s', (_, lines) => {
    expect(link(`mkdir target; ${lines}`)).toMatchObject({ stdout: 'target\n', stderr: '' });
  });

  it('leaves a directory that holds something', () => {
    expect(link('mkdir place target; touch place/file')).toMatchObject({ stdout: '', stderr: '' });
    expect(readFileSync(join(directory, 'place/file'), 'utf8')).toBe('');
  });
});

describe('the service dropbear', () => {
  it.each(['etc/init.d/dropbear', 'etc/conf.d/dropbear'])('has the same %s on both bases', (path) => {
    const debian = readFileSync(join(serviceRootfs('sshd'), '../base/debian/rootfs', path), 'utf8');
    expect(readFileSync(join(serviceRootfs('dropbear'), path), 'utf8')).toBe(debian);
  });
});
