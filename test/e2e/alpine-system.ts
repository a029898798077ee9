import { expect, it } from 'vitest';
import type { BuiltVersion } from './images.ts';
import { serviceStates } from './given.ts';

/** Standard output, trimmed, of a shell command that must succeed in a running system. */
export type RunText = (command: string) => Promise<string>;

/** Tests that hold for every Alpine system, whatever it runs on. `ssh`: the service that lets people in. */
export function testAlpineSystem(
  text: RunText,
  version: () => BuiltVersion,
  ssh: 'sshd' | 'dropbear' = 'sshd',
): void {
  it(`has every service of its runlevels started, ${ssh} among them, and none crashed`, async () => {
    expect(await expectServices(text)).toContain(ssh);
  });

  it('lists by apk exactly the packages of the manifest', async () => {
    // The tree builder's empty package says what needs no package here.
    const listed = (await text('apk info -v 2>&1')).replace(/^treeline-provided-.*\n/m, '');
    const { packages } = version().manifest;
    expect(listed.split('\n').toSorted()).toEqual(
      packages.map((each) => `${each.name}-${each.version}`).toSorted(),
    );
  });

  it('names the owner of a file by apk', async () => {
    const owners = {
      '/bin/busybox': 'busybox',
      ...(ssh === 'sshd'
        ? { '/etc/ssh/sshd_config': 'openssh-server-common' }
        : { '/usr/sbin/dropbear': 'dropbear' }),
      '/lib/libcrypto.so.3': 'libcrypto3',
      '/usr/bin/ostree': 'ostree',
    };
    const { packages } = version().manifest;
    const expected = Object.entries(owners).map(([path, owner]) => {
      const installed = packages.find(({ name }) => name === owner)?.version;
      return `${path} is owned by ${owner}-${installed}`;
    });
    const said = await text(`apk info -W ${Object.keys(owners).join(' ')} 2>&1`);
    expect(said.split('\n')).toEqual(expected);
  });

  it('finds by apk no file that differs from its package, but those that the merge of /lib replaced', async () => {
    const audit = (await text('apk audit --system 2>&1')).split('\n');
    // The kernel stands where OSTree wants it.
    expect(audit.filter((line) => !line.startsWith('X boot/')).toSorted()).toEqual([
      'U usr/lib/libcrypto.so.3',
      'U usr/lib/libssl.so.3',
      'U var/run',
    ]);
  });

  it('refuses what would change its packages, and says what to do instead', async () => {
    const commands = ['add nano', 'del hello', 'upgrade --available', 'fix'];
    const said = await text(
      commands.map((command) => `apk ${command} 2>&1 && echo ${command}: done`).join('; ') + '; true',
    );
    expect(said).not.toContain(': done');
    for (const advice of ['npm run build-update', 'treeline upgrade'])
      expect(said.split(advice)).toHaveLength(commands.length + 1);
  });

  it('refuses to write anywhere but in /etc, /var, /tmp, and what links into /var', async () => {
    const write = (places: string): string =>
      `for d in ${places}; do echo x >$d/e2e && rm $d/e2e && echo wrote $d; done`;
    const places = ['/etc', '/var', '/tmp', '/home', '/root', '/opt', '/srv'];
    const refused = ['/', '/usr', '/usr/bin', '/lib', '/sysroot'];
    const said = await text(`{ ${write([...places, ...refused].join(' '))}; true; } 2>&1`);
    const lines = said.split('\n');
    expect(lines.filter((line) => line.startsWith('wrote'))).toEqual(places.map((place) => `wrote ${place}`));
    expect(lines.filter((line) => line.includes('Read-only file system'))).toHaveLength(refused.length);
  });
}

/** Asserts that every service of the runlevels is started, and gives their names. */
export async function expectServices(text: RunText): Promise<string[]> {
  const services = serviceStates(await text('rc-status --nocolor sysinit boot default'));
  expect(services.filter(({ state }) => state !== 'started')).toEqual([]);
  expect(await text('rc-status --nocolor --crashed || true')).toBe('');
  return services.map(({ name }) => name);
}

/** Adds a user and a group by hand: from then on the files of the image and of the system differ. */
export const addLocalAccounts =
  'adduser -D -s /bin/sh local && echo local:secret | chpasswd && addgroup locals && addgroup local locals';

/** What a system says of its accounts, to be compared with `mergedAccounts`. */
export async function readAccounts(text: RunText): Promise<typeof mergedAccounts> {
  const names = async (file: string): Promise<string[]> =>
    (await text(`cut -d : -f 1 ${file} | grep -xE 'greeter|locals?|root' | sort`)).split('\n');
  return {
    users: await names('/etc/passwd'),
    passwords: await names('/etc/shadow'),
    groups: await names('/etc/group'),
    groupsOfLocal: await text('id -Gn local'),
    localHasPassword: (await text('grep ^local: /etc/shadow')).startsWith('local:$'),
    shadow: await text('stat -c "%U %G %a" /etc/shadow'),
    groupOfGreeter: await text('id -Gn greeter'),
    directoryOfGreeter: await text('stat -c "%U %G %a" /var/lib/greeter'),
  };
}

/** The user of version two's package is there with what belongs to it, and so is all of addLocalAccounts. */
export const mergedAccounts = {
  users: ['greeter', 'local', 'root'],
  passwords: ['greeter', 'local', 'root'],
  groups: ['greeter', 'local', 'locals', 'root'],
  groupsOfLocal: 'local locals',
  localHasPassword: true,
  shadow: 'root shadow 640',
  groupOfGreeter: 'greeter',
  directoryOfGreeter: 'greeter greeter 750',
};
