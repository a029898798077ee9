import { expect, test } from 'vitest';
import { listBases, listServices, resolveBase } from '../../src/recipe/index.ts';
import { layDown, recipeOf, refusal, refusalOf, smallBase } from './temporary-layers.ts';

const twoBases = {
  ...smallBase,
  'base/debian/13/layer.yaml': '',
  'base/debian/rootfs/etc/motd': 'hello\n',
  'base/debian/target/vm/packages.list': '',
  'base/alpine/layer.yaml': "release: '3.19'\n",
  'base/alpine/3.19/packages.list': '',
  'service/web/packages.list': '',
  'service/sshd/packages.list': '',
};

test('lists every distribution and its releases, not the other directories of their layers', async () => {
  expect(await listBases(layDown(twoBases))).toEqual([
    'alpine',
    'alpine-3.19',
    'debian',
    'debian-12',
    'debian-13',
  ]);
});

test('lists services', async () => {
  expect(await listServices(layDown(twoBases))).toEqual(['sshd', 'web']);
});

test('a base without a release means the one that its layer.yaml names', async () => {
  expect(await resolveBase(layDown(twoBases), 'debian')).toEqual({ distro: 'debian', release: '12' });
});

test('a base with a release means that one', async () => {
  expect(await resolveBase(layDown(twoBases), 'debian-13')).toEqual({ distro: 'debian', release: '13' });
  expect(await resolveBase(layDown(twoBases), 'alpine-3.19')).toEqual({ distro: 'alpine', release: '3.19' });
});

const anyRelease = {
  ...twoBases,
  'base/alpine/layer.yaml': [
    'release: latest-stable',
    'distribution:',
    '  name: Alpine Linux',
    '  packages: apk',
    '  releases: [latest-stable, edge, v3.*]',
    '  architectures: {x86_64: x86_64}',
    '',
  ].join('\n'),
  'base/alpine/v3.20/packages.list': 'only-here\n',
};

test('a release needs no directory where the base covers it', async () => {
  const overlays = layDown(anyRelease);
  const release = async (name: string) => (await resolveBase(overlays, name)).release;
  expect(await release('alpine')).toBe('latest-stable');
  expect(await release('alpine-edge')).toBe('edge');
  expect(await release('alpine-v3.19')).toBe('v3.19');
  expect(await release('alpine-3.19')).toBe('3.19');
  expect((await listBases(overlays)).filter((name) => name.startsWith('alpine'))).toEqual([
    'alpine',
    'alpine-3.19',
    'alpine-edge',
    'alpine-latest-stable',
    'alpine-v3.*',
    'alpine-v3.20',
  ]);
});

test('a release is part of the ref, and may have a directory of its own all the same', async () => {
  const of = (base: string) => recipeOf(anyRelease, { base });
  const [without, own] = [await of('alpine-v3.19'), await of('alpine-v3.20')];
  expect([without.ref, without.distribution.release]).toEqual(['treeline/alpine-v3.19/x86_64/vm', 'v3.19']);
  expect(without.packages).toEqual([]);
  expect(own.packages.map(({ name }) => name)).toEqual(['only-here']);
});

test.each([
  'alpine-v9.9',
  'alpine-v3',
  'alpine-',
  'alpine-v3.1/../..',
  'alpine-v3.*',
  'alpine-V3.19',
  'debian-v3.19',
])('%s is no release that the base covers', async (name) => {
  expect(await refusal(resolveBase(layDown(anyRelease), name))).toContain(`Cannot use base ${name}`);
});

test('a default release that the base does not cover is refused', async () => {
  const overlays = layDown({
    ...anyRelease,
    'base/alpine/layer.yaml': anyRelease['base/alpine/layer.yaml'].replace('latest-stable\n', 'latest\n'),
  });
  expect(await refusal(resolveBase(overlays, 'alpine'))).toMatch(
    /layer.yaml:1: there is no directory latest/,
  );
});

test.each(['[../x]', '[V3]', "['']", '[a b]'])('releases %s are refused', async (releases) => {
  const layers = {
    'base/debian/layer.yaml': `${smallBase['base/debian/layer.yaml'] as string}  releases: ${releases}\n`,
  };
  expect(await refusalOf(layers)).toContain('distribution.releases[0]: must be lower case');
});

test('an unknown base is refused with the nearest name', async () => {
  const overlays = layDown(twoBases);
  expect(await refusal(resolveBase(overlays, 'debain'))).toMatch(
    /Cannot use base debain.*\nDid you mean debian\?/s,
  );
  expect(await refusal(resolveBase(overlays, 'debian-14'))).toContain('Did you mean debian-1');
  await expect(resolveBase(overlays, '../debian')).rejects.toMatchObject({ code: 'usage' });
});

test('a base that does not name its release is refused', async () => {
  expect(await refusal(resolveBase(layDown({ 'base/debian/12/layer.yaml': '' }), 'debian'))).toContain(
    'the setting release is missing',
  );
});

test('a base that names a release that is not there is refused', async () => {
  const overlays = layDown({ ...smallBase, 'base/debian/layer.yaml': "\nrelease: '11'\n" });
  expect(await refusal(resolveBase(overlays, 'debian'))).toMatch(
    /layer.yaml:2: there is no directory 11 beside it/,
  );
});

test('a directory of layers that does not exist is refused', async () => {
  expect(await refusal(resolveBase('/nonexistent/overlays', 'debian'))).toContain(
    'there is no directory /nonexistent/overlays',
  );
});

test('an unknown service or target is refused with the nearest name', async () => {
  expect(await refusalOf({ 'service/sshd/packages.list': '' }, { services: ['ssdh'] })).toContain(
    'Did you mean sshd?',
  );
  expect(await refusalOf({}, { services: ['../common'] })).toContain('There are none.');
  expect(await refusalOf({}, { target: 'vn' as 'vm' })).toContain('Did you mean vm?');
});

test('an architecture that the base does not have is refused', async () => {
  expect(await refusalOf({}, { arch: 'aarch64' })).toMatch(/Cannot build for aarch64.*\n.*Known: x86_64/s);
});

test('the distribution is put together from the layers of the base', async () => {
  const recipe = await recipeOf({});
  expect(recipe.distribution).toEqual({
    id: 'debian',
    name: 'Debian GNU/Linux',
    release: '12',
    codename: 'bookworm',
    packages: 'deb',
    architecture: 'amd64',
  });
  expect(recipe.ref).toBe('treeline/debian-12/x86_64/vm');
});

test('only the layers of a base may say what the distribution is', async () => {
  const message = await refusalOf({
    'common/layer.yaml': "release: '12'\ndistribution: {name: Mine}\n",
  });
  expect(message).toContain('common/layer.yaml:1: release: only base/debian/layer.yaml may say it');
  expect(message).toContain('common/layer.yaml:2: distribution: only layers below base/ may say it');
});

test('a base that does not say who installs its packages is refused', async () => {
  const message = await refusalOf({
    'base/debian/layer.yaml': "release: '12'\ndistribution: {architectures: {x86_64: amd64}}\n",
  });
  expect(message).toContain('layer.yaml:2: distribution.packages is missing; it must be deb or apk');
});
