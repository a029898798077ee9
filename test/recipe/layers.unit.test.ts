import { chmodSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { layDown, recipeOf, refusalOf } from './temporary-layers.ts';
import type { Layout } from './temporary-layers.ts';

const layerNames = (recipe: { layers: readonly { name: string }[] }): string[] =>
  recipe.layers.map(({ name }) => name);

test('layers stand from general to specific, services in the order that was asked for', async () => {
  const own = layDown({ 'packages.list': '' });
  const recipe = await recipeOf(
    {
      'common/packages.list': '',
      'base/debian/12/x86_64/packages.list': '',
      'target/vm/packages.list': '',
      'target/lxc/packages.list': '',
      'service/a/packages.list': '',
      'service/b/packages.list': '',
      'service/c/packages.list': '',
    },
    { services: ['b', 'a', 'b'], extraLayers: [own] },
  );
  expect(layerNames(recipe)).toEqual([
    'common',
    'base/debian',
    'base/debian/12',
    'base/debian/12/x86_64',
    'target/vm',
    'service/b',
    'service/a',
    own,
  ]);
});

test('a layer is followed by its own parts for this base, release, architecture and target only', async () => {
  const recipe = await recipeOf(
    {
      'service/web/base/debian/packages.list': 'one',
      'service/web/base/debian/12/packages.list': 'two',
      'service/web/base/debian/12/x86_64/packages.list': 'three',
      'service/web/base/debian/11/packages.list': 'old',
      'service/web/base/alpine/packages.list': 'other',
      'service/web/target/vm/packages.list': 'four',
      'service/web/target/lxc/packages.list': 'container',
    },
    { services: ['web'] },
  );
  expect(layerNames(recipe).slice(-5)).toEqual([
    'service/web',
    'service/web/base/debian',
    'service/web/base/debian/12',
    'service/web/base/debian/12/x86_64',
    'service/web/target/vm',
  ]);
  expect(recipe.packages.map(({ name }) => name)).toEqual(['four', 'one', 'three', 'two']);
});

test("a release's directory inside of a base is the next layer, not a part of the base's", async () => {
  const recipe = await recipeOf({ 'base/debian/12/packages.list': 'x' });
  expect(layerNames(recipe)).toEqual(['base/debian', 'base/debian/12']);
});

test('parts of layers bring settings, files and hooks too', async () => {
  const recipe = await recipeOf({
    'common/target/vm/layer.yaml': 'hostname: machine\n',
    'common/target/vm/rootfs/etc/motd': 'hi\n',
    'common/target/vm/hooks/install.d/10-x': { script: '#!/bin/sh\n' },
  });
  expect(recipe.settings.hostname).toBe('machine');
  expect(recipe.files.map(({ path }) => path)).toEqual(['etc', 'etc/motd']);
  expect(recipe.hooks.map(({ name }) => name)).toEqual(['10-x']);
});

test.each<[string, Layout, string]>([
  ['a misspelt entry', { 'common/package.list': '' }, 'Did you mean packages.list?'],
  ['a misspelt layer.yaml', { 'common/layer.yml': '' }, 'Did you mean layer.yaml?'],
  ['a misspelt rootfs', { 'common/rootsfs/etc/motd': '' }, 'Did you mean rootfs?'],
  [
    'a part for an unknown target',
    { 'common/target/vn/packages.list': '' },
    'there is no target vn. Did you mean vm?',
  ],
  [
    'a part for a misspelt base',
    { 'common/base/debain/packages.list': '' },
    'there is no base debain. Did you mean debian?',
  ],
  ['parts in parts', { 'common/base/debian/target/vm/packages.list': '' }, 'cannot lie in one another'],
  ['a link instead of a layer', { common: { link: '/etc' } }, 'must be a real directory'],
  ['a link instead of a part', { 'common/target/vm': { link: '/etc' } }, 'must be a real directory'],
  ['a link instead of rootfs', { 'common/rootfs': { link: '/etc' } }, 'must be a real directory'],
  ['a link instead of hooks', { 'common/hooks': { link: '/etc' } }, 'must be a real directory'],
  [
    'a layer.yaml that leads out',
    { 'common/layer.yaml': { link: '/etc/hostname' } },
    'leads out of the layer',
  ],
  [
    'a packages.list that leads out',
    { 'common/packages.list': { link: '../secret' }, secret: 'x' },
    'leads out of the layer',
  ],
  [
    'a pkg-map.json that leads out',
    { 'common/pkg-map.json': { link: '/etc/hostname' } },
    'leads out of the layer',
  ],
  ['a hook that leads out', { 'common/hooks/install.d/10-x': { link: '/bin/sh' } }, 'leads out of the layer'],
  [
    'a file through a linked directory',
    { 'common/hooks/install.d': { link: '/etc' } },
    'must be a real directory',
  ],
  ['a dangling layer.yaml', { 'common/layer.yaml': { link: 'gone' } }, 'cannot be read: it does not exist'],
  ['a directory as layer.yaml', { 'common/layer.yaml/x': '' }, 'is not a file'],
  ['a layer.yaml that is too long', { 'common/layer.yaml': '#'.repeat(2 ** 20 + 1) }, '1048576 are the most'],
])('refuses %s', async (_, layout, reason) => {
  expect(await refusalOf(layout)).toContain(reason);
});

test('a layer of which a file is a link inside of it is fine', async () => {
  const recipe = await recipeOf({
    'common/base/debian/layer.yaml': { link: '../../shared/settings' },
    'common/shared/settings': 'hostname: linked\n',
  });
  expect(recipe.settings.hostname).toBe('linked');
});

test('other files in a layer are left alone', async () => {
  const layout = {
    'common/LICENSE': '',
    'common/README.md': '',
    'common/.git/HEAD': '',
    'common/tools/x': '',
    'common/layer.yaml~': '',
  };
  await expect(recipeOf(layout)).resolves.toBeDefined();
});

test.each<[string, Layout, string, string]>([
  ['does not exist', {}, 'gone', 'it does not exist'],
  ['is a file', { it: '' }, 'it', 'it is not a directory'],
  ['is empty', { it: null }, 'it', 'nothing in it belongs to a layer'],
  ['is not a layer', { 'it/notes.txt': '' }, 'it', 'nothing in it belongs to a layer'],
  ['is a link in a circle', { it: { link: 'it' } }, 'it', 'ELOOP'],
  ['lies below a file', { it: '' }, 'it/x', 'a part of the path is not a directory'],
])('refuses an --overlay that %s', async (_, layout, name, reason) => {
  const message = await refusalOf({}, { extraLayers: [join(layDown(layout), name)] });
  expect(message).toMatch(/^Cannot use --overlay /);
  expect(message).toContain(reason);
});

test.skipIf(process.getuid?.() !== 0)(
  'refuses an --overlay that this user may not read (needs root to become another)',
  async () => {
    const parent = layDown({ 'it/packages.list': '' });
    chmodSync(parent, 0o755);
    chmodSync(join(parent, 'it'), 0o700);
    const overlays = layDown({
      'base/debian/layer.yaml': "release: '12'\n",
      'base/debian/12/packages.list': '',
    });
    chmodSync(overlays, 0o755);
    const { readRecipe } = await import('../../src/recipe/index.ts');
    const { refusal, requestFor } = await import('./temporary-layers.ts');
    process.seteuid!(65534);
    try {
      const message = await refusal(readRecipe(requestFor(overlays, { extraLayers: [join(parent, 'it')] })));
      expect(message).toContain('this user may not read it');
    } finally {
      process.seteuid!(0);
    }
  },
);

test('an --overlay may be a link, but not be given twice', async () => {
  const own = layDown({ 'packages.list': 'nano\n' });
  const link = join(layDown({}), 'link');
  symlinkSync(own, link);
  const recipe = await recipeOf({}, { extraLayers: [link] });
  expect(recipe.packages.map(({ name }) => name)).toEqual(['nano']);
  expect(await refusalOf({}, { extraLayers: [own, link] })).toContain('it is given twice');
});

test('shows all that is wrong in all layers at once, in the order of the layers', async () => {
  const message = await refusalOf({
    'target/vm/packages.list': 'good\nba d\n',
    'common/layer.yaml': 'hostnam: x\nkernel: {enabeld: true}\n',
    'common/hooks/finalize.d/10-x': { script: '#!/bin/sh\n' },
    'base/debian/12/rootfs/usr/etc/motd': '',
  });
  const lines = message.split('\n');
  expect(lines[0]).toBe('Cannot use the layers: 5 problems');
  expect(lines.slice(1, 6).map((line) => line.replace(/.*treeline-recipe-\w+\//, ''))).toEqual([
    expect.stringMatching(
      /^common\/hooks\/finalize.d: there is no phase finalize.d. Did you mean finalise.d\?/,
    ),
    expect.stringMatching(/^common\/layer.yaml:1: unknown setting hostnam. Did you mean hostname\?/),
    expect.stringMatching(/^common\/layer.yaml:2: unknown setting kernel.enabeld. Did you mean enabled\?/),
    expect.stringMatching(/^base\/debian\/12\/rootfs\/usr\/etc: write it below etc\//),
    expect.stringMatching(/^target\/vm\/packages.list:2: 'ba d' is not a package name: one a line/),
  ]);
});
