import { join } from 'node:path';
import { expect, test } from 'vitest';
import { explainRecipe, readRecipe, recipeAsJson } from '../../src/recipe/index.ts';
import { layDown, requestFor, smallBase } from './temporary-layers.ts';

const own = {
  'packages.list': 'htop\nnano-\n',
  'rootfs/etc/motd': 'mine\n',
  'layer.yaml': 'hostname: mine\n',
};
const layers = {
  ...smallBase,
  'common/packages.list': 'bash\nnano\n',
  'common/rootfs/etc/motd': 'hi\n',
  'common/rootfs/etc/localtime': { link: '/usr/share/zoneinfo/UTC' },
  'common/layer.yaml': 'hostname: treeline\nservices: {default: [crond]}\nprovided: [udev]\n',
  'target/vm/layer.yaml':
    "services:\n  default: [crond-, sshd]\nkernel: {arguments: [quiet]}\nusers: [{name: root, uid: 0, password: '$6$a$secret'}]\npermissions: [{path: etc/motd, mode: '0600'}]\n",
  'common/hooks/install.d/10-a': { script: '#!/bin/sh\n' },
  'target/vm/hooks/install.d/10-a': { script: '#!/bin/sh\n' },
};

const readAll = () => {
  const overlay = layDown(own);
  const overlays = layDown(layers);
  return readRecipe(requestFor(overlays, { extraLayers: [overlay] })).then((recipe) => ({
    recipe,
    overlay,
    overlays,
  }));
};

test('shows every value with the layer, file and line that it came from', async () => {
  const { recipe, overlay, overlays } = await readAll();
  const text = `${explainRecipe(recipe)}\n`
    .replaceAll(overlay, '/OWN')
    .replaceAll(overlays, '/OVERLAYS')
    .replaceAll(recipe.digest, 'DIGEST')
    .replaceAll(/ {2,}/g, '  ');
  expect(text).toBe(`treeline/debian-12/x86_64/vm
  distribution  Debian GNU/Linux 12 (bookworm), deb packages for amd64
  recipe  DIGEST

Layers, general to specific
  common  /OVERLAYS/common
  base/debian  /OVERLAYS/base/debian
  base/debian/12  /OVERLAYS/base/debian/12
  target/vm  /OVERLAYS/target/vm
  /OWN

Packages
  bash  common/packages.list:1
  htop  /OWN/packages.list:1

Packages taken back
  nano  asked for by common/packages.list:2, taken back by /OWN/packages.list:2

Provided by the tree itself
  udev  common/layer.yaml:3

Settings
  distribution.id  debian  (default)
  distribution.name  Debian GNU/Linux  base/debian/layer.yaml:3
  distribution.codename  bookworm  base/debian/12/layer.yaml:1
  distribution.packages  deb  base/debian/layer.yaml:4
  distribution.architectures  amd64  base/debian/layer.yaml:5
  hostname  mine  /OWN/layer.yaml:1, replaces common/layer.yaml:1
  users.root  0, group root, /root, /bin/sh, a password  target/vm/layer.yaml:4
  groups.root  0  target/vm/layer.yaml:4
  services.default.sshd  on  target/vm/layer.yaml:2
  kernel.enabled  false  (default)
  kernel.arguments[0]  quiet  target/vm/layer.yaml:3
  update.url  (none)  (default)
  permissions.etc/motd  0600  target/vm/layer.yaml:5

Settings taken back
  services.default.crond  asked for by common/layer.yaml:2, taken back by target/vm/layer.yaml:2

Files
  etc/localtime → /usr/share/zoneinfo/UTC  link  0:0  common/rootfs/etc/localtime
  etc/motd  0600  0:0  /OWN/rootfs/etc/motd, replaces common/rootfs/etc/motd

Hooks, in the order they run
  install  10-a  target/vm/hooks/install.d/10-a, replaces common/hooks/install.d/10-a
`);
});

test('as JSON it is plain data with the same origins', async () => {
  const { recipe, overlay, overlays } = await readAll();
  const json = JSON.parse(JSON.stringify(recipeAsJson(recipe))) as Record<string, unknown>;
  expect(json).toMatchObject({
    ref: 'treeline/debian-12/x86_64/vm',
    digest: recipe.digest,
    layers: expect.arrayContaining([{ name: 'common', directory: join(overlays, 'common') }]),
    packages: [
      { name: 'bash', origin: 'common/packages.list:1' },
      { name: 'htop', origin: `${overlay}/packages.list:1` },
    ],
    packagesTakenBack: [
      { value: 'nano', asked: 'common/packages.list:2', removed: `${overlay}/packages.list:2` },
    ],
    files: expect.arrayContaining([
      expect.objectContaining({ path: 'etc/motd', mode: '0600', replaces: ['common/rootfs/etc/motd'] }),
    ]),
    settings: expect.arrayContaining([
      {
        name: 'hostname',
        value: 'mine',
        origin: `${overlay}/layer.yaml:1`,
        replaces: ['common/layer.yaml:1'],
      },
    ]),
    hooks: [{ phase: 'install', name: '10-a' }],
  });
});

test('password hashes are not shown', async () => {
  const { recipe } = await readAll();
  expect(explainRecipe(recipe) + JSON.stringify(recipeAsJson(recipe))).not.toContain('secret');
});
