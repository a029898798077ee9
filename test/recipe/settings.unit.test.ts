import { expect, test } from 'vitest';
import { recipeOf, refusalOf } from './temporary-layers.ts';

/** The settings of a general layer (common) and a more specific one (target/vm). */
const settingsOf = async (general: string, specific = '') =>
  (await recipeOf({ 'common/layer.yaml': general, 'target/vm/layer.yaml': specific })).settings;

const refusalOfSettings = (general: string, specific = ''): Promise<string> =>
  refusalOf({ 'common/layer.yaml': general, 'target/vm/layer.yaml': specific });

test('without settings there are defaults', async () => {
  expect((await recipeOf({})).settings).toEqual({
    hostname: 'treeline',
    mirrors: [],
    exclude: [],
    setuid: [],
    users: [],
    groups: [],
    services: { sysinit: [], boot: [], default: [], nonetwork: [], shutdown: [] },
    kernel: { enabled: false, arguments: [], modules: [], initramfs: [] },
    update: { url: '' },
    permissions: [],
  });
});

test('an empty layer.yaml, and one of comments only, says nothing', async () => {
  expect((await settingsOf('# nothing\n', '')).hostname).toBe('treeline');
});

test('a value of a more specific layer replaces the general one', async () => {
  const settings = await settingsOf(
    'hostname: a\nkernel: {enabled: true}\nupdate: {url: "http://a/"}\nmirrors: ["http://a", "http://b"]',
    'hostname: b\nkernel: {enabled: false}\nupdate: {url: "https://b/x//"}\nmirrors: ["file:///srv", "deb http://x bookworm main"]',
  );
  expect(settings).toMatchObject({
    hostname: 'b',
    kernel: { enabled: false },
    update: { url: 'https://b/x' },
    mirrors: ['file:///srv', 'deb http://x bookworm main'],
  });
});

test('lists append in order, keep one of the same, and - takes back', async () => {
  const { kernel, exclude } = await settingsOf(
    'kernel: {arguments: [quiet, console=tty0, panic=10], modules: [a/*, b/**], initramfs: [ext4, nvme]}\nexclude: [usr/share/doc/**, /usr/share/man]',
    'kernel: {arguments: [console=ttyS0, quiet-, panic=10], modules: [b/**-, c], initramfs: [nvme-, virtio_blk]}\nexclude: [usr/share/man-, /srv]',
  );
  expect(kernel).toEqual({
    enabled: false,
    arguments: ['console=tty0', 'panic=10', 'console=ttyS0'],
    modules: ['a/*', 'c'],
    initramfs: ['ext4', 'virtio_blk'],
  });
  expect(exclude).toEqual(['usr/share/doc/**', 'srv']);
});

test('paths that may be setuid append, are relative to the tree, and - takes back', async () => {
  const { setuid } = await settingsOf(
    'setuid: [/bin/bbsuid, usr/bin/doas, /usr/bin/sudo]',
    'setuid: [/usr/bin/doas-, //usr/./bin/mine, /bin/bbsuid]',
  );
  expect(setuid).toEqual(['bin/bbsuid', 'usr/bin/sudo', 'usr/bin/mine']);
});

test('a module of the initramfs that a kernel may be without has a question mark', async () => {
  const { kernel } = await settingsOf(
    'kernel: {initramfs: [ext4, "virtio_blk?", nvme]}',
    'kernel: {initramfs: ["virtio_blk?-", "sd_mod?"]}',
  );
  expect(kernel.initramfs).toEqual(['ext4', 'nvme', 'sd_mod?']);
});

test('services are sorted, and - takes one out of its runlevel only', async () => {
  const { services } = await settingsOf(
    'services: {boot: [syslog, hostname], default: [syslog, crond]}',
    'services: {default: [syslog-, acpid]}',
  );
  expect(services.boot).toEqual(['hostname', 'syslog']);
  expect(services.default).toEqual(['acpid', 'crond']);
});

test('taking back what nobody asked for is fine, but not in the same list that asks for it', async () => {
  expect((await settingsOf('services: {boot: [ghost-]}')).services.boot).toEqual([]);
  expect(await refusalOfSettings('services:\n  boot:\n    - x\n    - x-\n')).toContain(
    'layer.yaml:4: takes x back, which line 3 of the same file asks for',
  );
});

test('what was taken back can be asked for again by a still more specific layer', async () => {
  const recipe = await recipeOf(
    {
      'common/layer.yaml': 'services: {default: [crond]}',
      'target/vm/layer.yaml': 'services: {default: [crond-]}',
      'service/cron/layer.yaml': 'services: {default: [crond]}',
    },
    { services: ['cron'] },
  );
  expect(recipe.settings.services.default).toEqual(['crond']);
  expect(recipe.origins.get('services.default.crond')?.layer).toBe('service/cron');
});

test('every value knows its layer, file and line', async () => {
  const { origins } = await recipeOf({
    'common/layer.yaml':
      'kernel:\n  arguments:\n    - quiet\n    - panic=1\nusers:\n  - name: web\n    uid: 200\n',
    'target/vm/layer.yaml': '# ours\nhostname: x\n',
  });
  const at = (key: string): string => {
    const { layer, line, file } = origins.get(key)!;
    expect(file.endsWith(`/${layer}/layer.yaml`)).toBe(true);
    return `${layer}:${line}`;
  };
  expect(at('hostname')).toBe('target/vm:2');
  expect(at('kernel.arguments[1]')).toBe('common:4');
  expect(at('users.web')).toBe('common:6');
  expect(at('groups.web')).toBe('common:6');
  expect(at('distribution.packages')).toBe('base/debian:4');
});

test('users get what a person leaves out from their id, and a group of their own', async () => {
  const { users, groups } = await settingsOf(
    "users: [{name: root, uid: 0, password: '!'}, {name: web, uid: 200, gecos: Web server}, {name: ann, uid: 1000, group: people}]\n" +
      'groups: [{name: people, gid: 500, members: [web, ann]}]',
  );
  expect(users).toEqual([
    { name: 'root', uid: 0, group: 'root', home: '/root', shell: '/bin/sh', gecos: '', password: '!' },
    {
      name: 'web',
      uid: 200,
      group: 'web',
      home: '/var/empty',
      shell: '/sbin/nologin',
      gecos: 'Web server',
      password: '*',
    },
    {
      name: 'ann',
      uid: 1000,
      group: 'people',
      home: '/home/ann',
      shell: '/bin/sh',
      gecos: '',
      password: '*',
    },
  ]);
  expect(groups).toEqual([
    { name: 'root', gid: 0, members: [] },
    { name: 'web', gid: 200, members: [] },
    { name: 'people', gid: 500, members: ['ann', 'web'] },
  ]);
});

test('a user or group of a more specific layer replaces the one of the same name whole', async () => {
  const { users, groups } = await settingsOf(
    'users: [{name: web, uid: 200, home: /srv/web}]\ngroups: [{name: web, gid: 300, members: [web]}]',
    'users: [{name: web, uid: 201}]\ngroups: [{name: web, gid: 301}]',
  );
  expect(users).toMatchObject([{ name: 'web', uid: 201, home: '/var/empty' }]);
  expect(groups).toEqual([{ name: 'web', gid: 301, members: [] }]);
});

test('an id that two share is refused with both names', async () => {
  const message = await refusalOfSettings(
    'users: [{name: a, uid: 7, group: g}]\ngroups: [{name: g, gid: 9}]',
    'users: [{name: b, uid: 7, group: h}]\ngroups: [{name: h, gid: 9}]',
  );
  expect(message).toContain('target/vm/layer.yaml:1: uid 7 of b is already that of a (common, line 1)');
  expect(message).toContain('target/vm/layer.yaml:2: gid 9 of h is already that of g (common, line 2)');
});

test('permissions take numbers and the names of users and groups, and know merged paths', async () => {
  const { permissions } = await settingsOf(
    'users: [{name: web, uid: 200}]\ngroups: [{name: logs, gid: 300}]\n' +
      "permissions: [{path: /bin/su, mode: '4755'}, {path: etc/web, mode: '750', owner: web, group: logs}, {path: etc/x, owner: 5, group: root}]",
    "permissions: [{path: etc/x, mode: '0600'}]",
  );
  expect(permissions).toEqual([
    { path: 'etc/web', mode: 0o750, uid: 200, gid: 300 },
    { path: 'etc/x', mode: 0o600 },
    { path: 'usr/bin/su', mode: 0o4755 },
  ]);
});

test.each<[string, string, string]>([
  [
    'an unknown setting',
    'hostnam: x',
    'layer.yaml:1: unknown setting hostnam. Did you mean hostname? Known: ',
  ],
  [
    'an unknown runlevel',
    'services:\n  bot: [x]',
    'layer.yaml:2: unknown setting services.bot. Did you mean boot?',
  ],
  [
    "a user's unknown setting",
    'users:\n  - name: a\n    uid: 1\n    id: 1',
    'layer.yaml:4: unknown setting users[0].id. Did you mean uid?',
  ],
  ['an unknown architecture', 'distribution: {architectures: {x86-64: amd64}}', 'Did you mean x86_64?'],
  [
    'a number where text is meant',
    'hostname:\n  12',
    "hostname: must be text, not 12; put it in quotes: '12'",
  ],
  ['text where a list is meant', 'mirrors: http://x', "mirrors: must be a list, not 'http://x'"],
  [
    'a list where settings are meant',
    'kernel: [quiet]',
    'kernel: must be settings, one `name: value` a line, not a list',
  ],
  ['a setting without a value', 'hostname:', 'hostname has no value; it must be text'],
  [
    'text where true or false is meant',
    'kernel: {enabled: yes}',
    "kernel.enabled: must be true or false, not 'yes'",
  ],
  ['a list as a whole file', '- hostname', 'the file: must be settings'],
  [
    'an unknown package backend',
    'distribution: {packages: rpm}',
    "distribution.packages: must be deb or apk, not 'rpm'",
  ],
  ['a hostname with blanks', 'hostname: my host', "(it is 'my host')"],
  ['a mirror that is no URL', 'mirrors: [mirror.example.org]', 'mirrors[0]: must be a URL'],
  [
    'an update URL that is no URL',
    'update: {url: example.org}',
    'update.url: must be an http:// or https:// URL',
  ],
  ['a path that escapes', 'exclude: [usr/../../etc]', 'exclude[0]: must not contain ..'],
  [
    'a permission that escapes',
    "permissions: [{path: ../x, mode: '755'}]",
    'permissions[0].path: must not contain ..',
  ],
  [
    'a mode without quotes',
    'permissions: [{path: x, mode: 0755}]',
    "permissions[0].mode: must be text, not 755; put it in quotes: '755'",
  ],
  [
    'a mode that is not octal',
    "permissions: [{path: x, mode: '0789'}]",
    'must be three or four octal digits in quotes',
  ],
  [
    'a mode of letters',
    'permissions: [{path: x, mode: u+x}]',
    'must be three or four octal digits in quotes',
  ],
  ['a permission that says nothing', 'permissions: [{path: x}]', 'says nothing: add mode, owner or group'],
  [
    'an unknown owner',
    'users: [{name: web, uid: 2}]\npermissions: [{path: x, owner: wbe}]',
    'layer.yaml:2: x: there is no user wbe. Did you mean web?',
  ],
  ['an unknown owning group', 'permissions: [{path: x, group: adm}]', 'x: there is no group adm.'],
  [
    'an owner that is neither',
    'permissions: [{path: x, owner: [1]}]',
    'permissions[0].owner: must be a name or a number',
  ],
  [
    'a uid that is too high',
    'users: [{name: a, uid: 65535}]',
    'users[0].uid: must be from 0 to 65534 (it is 65535)',
  ],
  ['a negative gid', 'groups: [{name: a, gid: -1}]', 'groups[0].gid: must be from 0 to 65534'],
  ['a uid that is not whole', 'users: [{name: a, uid: 1.5}]', 'users[0].uid: must be a whole number'],
  ['a user without an id', 'users: [{name: a}]', 'users[0].uid is missing'],
  ['a user name in capitals', 'users: [{name: Web, uid: 1}]', 'users[0].name: a name has'],
  [
    'a home with a colon',
    "users: [{name: a, uid: 1, home: '/a:b'}]",
    'users[0].home: must be an absolute path',
  ],
  [
    'a full name with a colon',
    "users: [{name: a, uid: 1, gecos: 'a:b'}]",
    'users[0].gecos: must not contain colons',
  ],
  [
    'a user twice in one file',
    'users: [{name: a, uid: 1}, {name: a, uid: 2}]',
    'users: a stands twice in this file',
  ],
  [
    'a primary group that is not there',
    'users: [{name: a, uid: 1, group: b}]',
    'user a: there is no group b.',
  ],
  ['a member that is not there', 'groups: [{name: a, gid: 1, members: [b]}]', 'group a: there is no user b.'],
  ['a setuid path that escapes', 'setuid: [/usr/../bin/x]', 'setuid[0]: must not contain ..'],
  ['a module with two question marks', "kernel: {initramfs: ['x??']}", 'a module name has'],
  ['a module that is a question mark', "kernel: {initramfs: ['?']}", 'a module name has'],
  ['a layer for no base', 'bases: []', 'bases: must name a base'],
  [
    'a repository without a name',
    'repositories: [{url: "http://mirror.example.org/x"}]',
    'repositories[0].name is missing',
  ],
  [
    'a repository whose name is a path',
    'repositories: [{name: ../x}]',
    'repositories[0].name: has lower case',
  ],
  [
    'a repository with an unknown setting',
    'repositories: [{name: x, key: y}]',
    'unknown setting repositories[0].key. Did you mean keys?',
  ],
  [
    'a repository at no URL',
    'repositories: [{name: x, url: mirror.example.org}]',
    'repositories[0].url: must be a URL',
  ],
  [
    'a repository at a URL of another kind',
    'repositories: [{name: x, url: "ftp://mirror.example.org"}]',
    'must be a URL',
  ],
  ['a tag with a blank', 'repositories: [{name: x, tag: a b}]', 'repositories[0].tag: has lower case'],
  [
    'a repository with an empty list of keys',
    'repositories: [{name: x, keys: []}]',
    'repositories[0].keys: must name a key',
  ],
  [
    'a key outside of keys/',
    'repositories: [{name: x, keys: [../x.rsa.pub]}]',
    'must be the name of a file in keys/',
  ],
  ['two kernel arguments in one', 'kernel: {arguments: [quiet panic=1]}', 'one argument an entry'],
  ['a service with a slash', 'services: {boot: [../x]}', 'a service name has'],
  ['a key twice', 'hostname: a\nhostname: b', 'layer.yaml:2: Map keys must be unique'],
  ['broken YAML', 'hostname: a\n  kernel: [', 'layer.yaml:2: '],
  ['two documents', 'hostname: a\n---\nhostname: b', 'multiple documents'],
  [
    'an alias bomb',
    `a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [${'*a,'.repeat(20)}]\nc: &c [${'*b,'.repeat(20)}]\nmirrors: [*c]`,
    'Excessive alias count',
  ],
])('refuses %s', async (_, yaml, reason) => {
  expect(await refusalOfSettings(yaml)).toContain(reason);
});

test('refuses a plain text password without repeating it', async () => {
  for (const yaml of ['password: hunter2', 'password: 271828', 'password: [hunter2]']) {
    const message = await refusalOfSettings(`users:\n  - name: a\n    uid: 1\n    ${yaml}\n`);
    expect(message).toMatch(/layer.yaml:4: users\[0\].password/);
    expect(message).not.toMatch(/hunter2|271828/);
  }
});

test('takes the hashes that crypt makes', async () => {
  const hash = '$6$rounds=5000$saltsalt$h1P.x/2';
  const { users } = await settingsOf(
    `users: [{name: a, uid: 1, password: '${hash}'}, {name: b, uid: 2, password: '$y$j9T$abc/.$xyz'}]`,
  );
  expect(users.map(({ password }) => password)).toEqual([hash, '$y$j9T$abc/.$xyz']);
});

test('text that is not UTF-8 is refused', async () => {
  const { layDown, refusal, requestFor, smallBase } = await import('./temporary-layers.ts');
  const { readRecipe } = await import('../../src/recipe/index.ts');
  const { writeFileSync } = await import('node:fs');
  const overlays = layDown({ ...smallBase, 'common/layer.yaml': '' });
  writeFileSync(`${overlays}/common/layer.yaml`, Buffer.from([0x68, 0xff, 0xfe]));
  expect(await refusal(readRecipe(requestFor(overlays)))).toContain('common/layer.yaml: is not UTF-8 text');
});
