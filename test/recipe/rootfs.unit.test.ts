import { execFileSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readRecipe } from '../../src/recipe/index.ts';
import { layDown, recipeOf, refusal, refusalOf, requestFor, smallBase } from './temporary-layers.ts';
import type { Layout } from './temporary-layers.ts';

test('files, directories and links are laid by path, with root as owner and the text of links kept', async () => {
  const { files } = await recipeOf({
    'common/rootfs/etc/motd': 'hi\n',
    'common/rootfs/etc/empty': null,
    'common/rootfs/etc/localtime': { link: '/usr/share/zoneinfo/UTC' },
    'common/rootfs/usr/bin/hello': { script: '#!/bin/sh\n' },
  });
  expect(files.map(({ path, kind, mode, uid, gid, link }) => ({ path, kind, mode, uid, gid, link }))).toEqual(
    [
      { path: 'etc', kind: 'directory', mode: 0o755, uid: 0, gid: 0, link: undefined },
      { path: 'etc/empty', kind: 'directory', mode: 0o755, uid: 0, gid: 0, link: undefined },
      {
        path: 'etc/localtime',
        kind: 'symlink',
        mode: 0o777,
        uid: 0,
        gid: 0,
        link: '/usr/share/zoneinfo/UTC',
      },
      { path: 'etc/motd', kind: 'file', mode: 0o644, uid: 0, gid: 0, link: undefined },
      { path: 'usr', kind: 'directory', mode: 0o755, uid: 0, gid: 0, link: undefined },
      { path: 'usr/bin', kind: 'directory', mode: 0o755, uid: 0, gid: 0, link: undefined },
      { path: 'usr/bin/hello', kind: 'file', mode: 0o755, uid: 0, gid: 0, link: undefined },
    ],
  );
});

test('of a mode only whether the owner may execute counts, whatever the umask was', async () => {
  const overlays = layDown({ ...smallBase, 'common/rootfs/etc/a': '', 'common/rootfs/etc/b': '' });
  chmodSync(join(overlays, 'common/rootfs/etc/a'), 0o600);
  chmodSync(join(overlays, 'common/rootfs/etc/b'), 0o4711);
  chmodSync(join(overlays, 'common/rootfs/etc'), 0o700);
  const { files } = await readRecipe(requestFor(overlays));
  expect(files.map(({ path, mode }) => [path, mode.toString(8)])).toEqual([
    ['etc', '755'],
    ['etc/a', '644'],
    ['etc/b', '755'],
  ]);
});

test('permissions of the settings give files and directories another mode and owner', async () => {
  const { files } = await recipeOf({
    'common/rootfs/etc/web/key': 'x',
    'common/layer.yaml':
      "users: [{name: web, uid: 200}]\npermissions: [{path: /etc/web/key, mode: '0640', group: web}, {path: etc/web, owner: web}]\n",
  });
  expect(files.slice(1)).toMatchObject([
    { path: 'etc/web', mode: 0o755, uid: 200, gid: 0 },
    { path: 'etc/web/key', mode: 0o640, uid: 0, gid: 200 },
  ]);
});

test('a mode for a link is refused', async () => {
  const message = await refusalOf({
    'common/rootfs/etc/x': { link: 'y' },
    'common/layer.yaml': "permissions:\n  - {path: etc/x, mode: '0600'}\n",
  });
  expect(message).toContain('layer.yaml:2: a link has no mode of its own');
});

test('directories that are links into usr are merged into it', async () => {
  const { files } = await recipeOf({
    'common/rootfs/bin/a': '',
    'common/rootfs/sbin/b': '',
    'common/rootfs/lib/c/d': '',
    'common/rootfs/lib64/e': '',
    'common/rootfs/usr/lib/f': '',
    'common/rootfs/library/g': '',
  });
  expect(files.filter(({ kind }) => kind === 'file').map(({ path }) => path)).toEqual([
    'library/g',
    'usr/bin/a',
    'usr/lib/c/d',
    'usr/lib/f',
    'usr/lib64/e',
    'usr/sbin/b',
  ]);
});

test('directories that are links into var are laid where they lead', async () => {
  const { files } = await recipeOf({
    'common/rootfs/root/.profile': '',
    'common/rootfs/srv/www/index.html': '',
    'common/layer.yaml': "permissions: [{path: /root/.profile, mode: '0600'}]",
  });
  expect(files.map(({ path }) => path)).toEqual([
    'var/roothome',
    'var/roothome/.profile',
    'var/srv',
    'var/srv/www',
    'var/srv/www/index.html',
  ]);
  expect(files[1]?.mode).toBe(0o600);
});

test('one path given twice by way of the merge is refused', async () => {
  expect(await refusalOf({ 'common/rootfs/bin/a': '', 'common/rootfs/usr/bin/a': '' })).toMatch(
    /rootfs\/usr\/bin\/a: is the same file in the tree as .*rootfs\/bin\/a: \/usr\/bin\/a/,
  );
});

test('a file of a more specific layer replaces the general one, and both are remembered', async () => {
  const recipe = await recipeOf({
    'common/rootfs/bin/a': 'one',
    'common/rootfs/etc/b': 'one',
    'target/vm/rootfs/usr/bin/a': 'two',
    'target/vm/rootfs/etc/b': { link: 'c' },
  });
  const file = recipe.files.find(({ path }) => path === 'usr/bin/a')!;
  expect(file.origin.layer).toBe('target/vm');
  expect(file.source).toBe(join(recipe.request.overlays, 'target/vm/rootfs/usr/bin/a'));
  expect(recipe.history.files.get('usr/bin/a')).toMatchObject([{ layer: 'common' }]);
  expect(recipe.files.find(({ path }) => path === 'etc/b')).toMatchObject({ kind: 'symlink', link: 'c' });
});

test('placeholders of git do not enter the tree, their directories do', async () => {
  const { files } = await recipeOf({
    'common/rootfs/usr/www/.gitkeep': '',
    'common/rootfs/usr/.profile': '',
  });
  expect(files.map(({ path }) => path)).toEqual(['usr', 'usr/.profile', 'usr/www']);
});

test.each<[string, Layout, RegExp]>([
  [
    'a directory over a file',
    { 'common/rootfs/etc/x': '', 'target/vm/rootfs/etc/x/y': '' },
    /vm\/rootfs\/etc\/x: is a directory, but .*common\/rootfs\/etc\/x is a file/,
  ],
  [
    'a file over a directory',
    { 'common/rootfs/etc/x/y': '', 'target/vm/rootfs/etc/x': '' },
    /vm\/rootfs\/etc\/x: is a file, but .*common\/rootfs\/etc\/x is a directory/,
  ],
  [
    'a link over a directory',
    { 'common/rootfs/etc/x/y': '', 'target/vm/rootfs/etc/x': { link: 'z' } },
    /etc\/x: is a link, but .* is a directory/,
  ],
  [
    'a file below a link that leads out of the tree',
    { 'common/rootfs/etc/x': { link: '/root' }, 'target/vm/rootfs/etc/x/y': '' },
    /etc\/x\/y: lies below \/etc\/x, but .*common\/rootfs\/etc\/x is a link/,
  ],
  [
    'a link in place of a merged directory',
    { 'common/rootfs/bin': { link: 'usr/bin' } },
    /\/bin is a link to usr\/bin in every tree/,
  ],
  [
    'a file in place of a merged directory',
    { 'common/rootfs/lib': '' },
    /\/lib is a link to usr\/lib in every tree/,
  ],
  [
    'files that a running system cannot see',
    { 'common/rootfs/run/x': '' },
    /nothing below \/run of the tree can be seen/,
  ],
  ['files in usr/etc', { 'common/rootfs/usr/etc/x': '' }, /write it below etc\//],
  ['a passwd of its own', { 'common/rootfs/etc/passwd': '' }, /\/etc\/passwd is made from the setting users/],
  ['a hostname of its own', { 'common/rootfs/etc/hostname': '' }, /made from the setting hostname/],
  ['an os-release of its own', { 'common/rootfs/lib/os-release': '' }, /made from the setting distribution/],
  ['a name with a line break', { 'common/rootfs/etc/a\nb': '' }, /UTF-8 without control characters/],
  [
    'a link with a line break',
    { 'common/rootfs/etc/a': { link: 'x\ny' } },
    /must not have control characters/,
  ],
])('refuses %s', async (_, layout, reason) => {
  expect(await refusalOf(layout)).toMatch(reason);
});

test('refuses pipes and sockets', async () => {
  const overlays = layDown({ ...smallBase, 'common/rootfs/etc': null });
  execFileSync('mkfifo', [join(overlays, 'common/rootfs/etc/pipe')]);
  const server = createServer().listen(join(overlays, 'common/rootfs/etc/socket'));
  await new Promise((resolve) => server.once('listening', resolve));
  const message = await refusal(readRecipe(requestFor(overlays)));
  server.close();
  expect(message).toMatch(/etc\/pipe: is a device, socket or pipe/);
  expect(message).toMatch(/etc\/socket: is a device, socket or pipe/);
});

test('refuses names that are not UTF-8', async () => {
  const overlays = layDown({ ...smallBase, 'common/rootfs/etc': null });
  writeFileSync(Buffer.concat([Buffer.from(join(overlays, 'common/rootfs/etc/x')), Buffer.from([0xff])]), '');
  expect(await refusal(readRecipe(requestFor(overlays)))).toContain('must be UTF-8');
});

test('never follows a link within rootfs', async () => {
  const outside = layDown({ secret: 'x' });
  const { files } = await recipeOf({ 'common/rootfs/etc/out': { link: outside } });
  expect(files.map(({ path, kind }) => `${path} ${kind}`)).toEqual(['etc directory', 'etc/out symlink']);
});
