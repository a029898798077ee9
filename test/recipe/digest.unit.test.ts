import { chmodSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readRecipe } from '../../src/recipe/index.ts';
import { layDown, recipeOf, requestFor, smallBase } from './temporary-layers.ts';
import type { Layout } from './temporary-layers.ts';

const layers: Layout = {
  'common/layer.yaml': 'hostname: one\nkernel: {enabled: true, arguments: [quiet]}\n',
  'common/packages.list': 'bash\nnano\n',
  'common/rootfs/etc/motd': 'hi\n',
  'common/rootfs/etc/link': { link: 'motd' },
  'common/hooks/install.d/10-a': { script: '#!/bin/sh\n' },
};

const digestOf = async (changes: Layout = {}): Promise<string> =>
  (await recipeOf({ ...layers, ...changes })).digest;

test('is 64 hexadecimal digits and the same wherever the layers lie', async () => {
  expect(await digestOf()).toMatch(/^[0-9a-f]{64}$/);
  expect(await digestOf()).toBe(await digestOf());
});

test('is the same for an overlay at another path', async () => {
  const [one, two] = [layDown(layers), layDown(layers)].map((path) => join(path, 'common'));
  const overlays = layDown(smallBase);
  const digests = await Promise.all(
    [one!, two!].map(
      async (path) => (await readRecipe(requestFor(overlays, { extraLayers: [path] }))).digest,
    ),
  );
  expect(digests[0]).toBe(digests[1]);
});

test.each<[string, Layout]>([
  ['comments and the order of packages', { 'common/packages.list': '# two\nnano\nbash\n' }],
  [
    'the order of settings',
    { 'common/layer.yaml': 'kernel: {arguments: [quiet], enabled: true}\nhostname: one\n' },
  ],
  ['which layer says it', { 'common/packages.list': 'bash\n', 'target/vm/packages.list': 'nano\n' }],
  ['layers of other targets', { 'target/lxc/packages.list': 'zsh\n' }],
  ['what is not part of a layer', { 'common/README': 'x' }],
])('is not changed by %s', async (_, changes) => {
  expect(await digestOf(changes)).toBe(await digestOf());
});

test('is not changed by times and umasks', async () => {
  const overlays = layDown({ ...smallBase, ...layers });
  const before = await readRecipe(requestFor(overlays));
  chmodSync(join(overlays, 'common/rootfs/etc/motd'), 0o664);
  utimesSync(join(overlays, 'common/rootfs/etc/motd'), 1, 1);
  expect((await readRecipe(requestFor(overlays))).digest).toBe(before.digest);
});

test.each<[string, Layout]>([
  ['a setting', { 'common/layer.yaml': 'hostname: two\nkernel: {enabled: true, arguments: [quiet]}\n' }],
  ['a package', { 'common/packages.list': 'bash\n' }],
  ["a file's content", { 'common/rootfs/etc/motd': 'ho\n' }],
  ["a file's mode", { 'common/rootfs/etc/motd': { script: 'hi\n' } }],
  ["a file's path", { 'target/vm/rootfs/etc/motd2': 'hi\n' }],
  ['where a link leads', { 'common/rootfs/etc/link': { link: 'motd2' } }],
  ["a hook's content", { 'common/hooks/install.d/10-a': { script: '#!/bin/sh\ntrue\n' } }],
  ["a hook's name", { 'target/vm/hooks/install.d/11-a': { script: '#!/bin/sh\n' } }],
  ['a provided package', { 'target/vm/layer.yaml': 'provided: [udev]' }],
  ['a permission', { 'target/vm/layer.yaml': "permissions: [{path: usr/bin/su, mode: '4755'}]" }],
  ['the codename', { 'base/debian/12/layer.yaml': 'distribution: {codename: trixie}' }],
])('is changed by %s', async (_, changes) => {
  expect(await digestOf(changes)).not.toBe(await digestOf());
});

test('is changed by the target, which is part of the ref', async () => {
  const overlays = layDown({ ...smallBase, ...layers });
  const of = async (target: 'vm' | 'lxc') => (await readRecipe(requestFor(overlays, { target }))).digest;
  expect(await of('vm')).not.toBe(await of('lxc'));
});
