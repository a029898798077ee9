import { expect, test } from 'vitest';
import { recipeOf, refusalOf } from './temporary-layers.ts';
import type { Layout } from './temporary-layers.ts';

const packagesOf = async (layout: Layout, services: string[] = []): Promise<string[]> =>
  (await recipeOf(layout, { services })).packages.map(({ name }) => name);

test('a list has one package a line, comments and blank lines', async () => {
  const list = '\uFEFF# editors\nnano   # small\n\n  g++\r\nlibstdc++6\npython3.11\n#vim\n';
  expect(await packagesOf({ 'common/packages.list': list })).toEqual([
    'g++',
    'libstdc++6',
    'nano',
    'python3.11',
  ]);
});

test('packages are sorted and know the line of the most general layer that asks for them', async () => {
  const { packages } = await recipeOf({
    'common/packages.list': '\nzsh\nbash\n',
    'target/vm/packages.list': 'bash\nash\n',
  });
  expect(packages.map(({ name, origin }) => `${name} ${origin.layer}:${origin.line}`)).toEqual([
    'ash target/vm:2',
    'bash common:3',
    'zsh common:2',
  ]);
});

test('- takes back what a more general layer asked for, and remembers both', async () => {
  const recipe = await recipeOf({
    'common/packages.list': 'nano\nbash\n',
    'target/vm/packages.list': 'nano-\nghost-\n',
  });
  expect(recipe.packages.map(({ name }) => name)).toEqual(['bash']);
  expect(recipe.history.packages).toMatchObject([
    { value: 'nano', asked: { layer: 'common', line: 1 }, removed: { layer: 'target/vm', line: 1 } },
  ]);
});

test('asking for a package and taking it back in the same file is refused', async () => {
  expect(await refusalOf({ 'common/packages.list': 'nano\nnano-\n' })).toContain(
    'packages.list:2: takes nano back, which line 1 of the same file asks for',
  );
});

test.each(['two names', '-nano', 'foo:i386', 'foo=1.0', 'foo/bar', '../x', '$(x)', '-', '.hidden'])(
  'refuses %j as the name of a package',
  async (name) => {
    expect(await refusalOf({ 'common/packages.list': `ok\n${name}\n` })).toMatch(
      /packages.list:2: '.*' is not a package name/,
    );
  },
);

const map = {
  release: { debian: { '12': { db: 'db-release' } } },
  distro: { debian: { db: 'db-distro', web: 'web-distro' }, fedora: { db: 'no' } },
  family: { debian: { db: 'db-family', web: 'web-family', mail: 'mail-a mail-b' }, redhat: { db: 'no' } },
  default: { db: 'db-default', web: 'web-default', mail: 'mail-default', docs: '', time: 'time-default' },
};

test('pkg-map.json translates generic names, the most specific section first', async () => {
  const layers = {
    'service/x/packages.list': 'db\nweb\nmail\ndocs\ntime\nnano\n',
    'service/x/pkg-map.json': JSON.stringify(map),
  };
  expect(await packagesOf(layers, ['x'])).toEqual([
    'db-release',
    'mail-a',
    'mail-b',
    'nano',
    'time-default',
    'web-distro',
  ]);
});

test("a layer's pkg-map.json does not translate other layers' names", async () => {
  const layers = {
    'common/packages.list': 'web\n',
    'common/pkg-map.json': '{"default": {"db": "x"}}',
    'service/x/packages.list': 'db\n',
    'service/x/pkg-map.json': JSON.stringify({ default: { web: 'nginx' } }),
  };
  expect(await packagesOf(layers, ['x'])).toEqual(['db', 'web']);
});

test('a part of a layer has its own map first, then that of its layer', async () => {
  const layers = {
    'service/x/pkg-map.json': '{"default": {"web": "nginx", "db": "mariadb"}}',
    'service/x/base/debian/pkg-map.json': '{"default": {"db": "postgresql"}}',
    'service/x/base/debian/packages.list': 'web\ndb\n',
  };
  expect(await packagesOf(layers, ['x'])).toEqual(['nginx', 'postgresql']);
});

test('what a layer takes back is translated too', async () => {
  const layers = {
    'common/packages.list': 'mail-a\nmail-b\n',
    'service/x/packages.list': 'mail-\n',
    'service/x/pkg-map.json': JSON.stringify(map),
  };
  expect(await packagesOf(layers, ['x'])).toEqual([]);
});

test.each([
  ['{"distros": {}}', 'pkg-map.json:1: unknown setting distros. Did you mean distro?'],
  ['{\n"default": {"a": 1}}', 'pkg-map.json:2: default.a: must be text, not 1'],
  ['{\n"default": {"a": "b;c"}}', 'pkg-map.json:2: default.a: package names with blanks between them'],
  ['{"default": {"a": ["b"]}}', 'default.a: must be text, not a list'],
  ['default: {a: b}', 'is not JSON'],
  ['{"default": {"a": "b",}}', 'is not JSON'],
])('refuses the pkg-map.json %j', async (text, reason) => {
  expect(await refusalOf({ 'common/pkg-map.json': text })).toContain(reason);
});

test('provided packages append, and - takes one back', async () => {
  const recipe = await recipeOf({
    'common/layer.yaml': 'provided: [udev, bash, perl-base]',
    'target/vm/layer.yaml': 'provided: [bash-, mount]',
  });
  expect(recipe.provided.map(({ name }) => name)).toEqual(['mount', 'perl-base', 'udev']);
  expect(recipe.history.settings).toMatchObject([{ value: 'provided.bash' }]);
});

test('a more specific layer that asks for a provided package gets it', async () => {
  const recipe = await recipeOf({
    'common/layer.yaml': 'provided: [bash]',
    'target/vm/packages.list': 'bash',
  });
  expect(recipe.packages.map(({ name }) => name)).toEqual(['bash']);
  expect(recipe.provided).toEqual([]);
});

test('a more specific layer that provides a package makes it superfluous', async () => {
  const recipe = await recipeOf({
    'common/packages.list': 'udev',
    'target/vm/layer.yaml': 'provided: [udev]',
  });
  expect(recipe.packages).toEqual([]);
  expect(recipe.provided.map(({ name }) => name)).toEqual(['udev']);
  expect(recipe.history.packages).toMatchObject([
    { value: 'udev', removed: { layer: 'target/vm', line: 1 } },
  ]);
});

test('a layer that both asks for and provides a package is refused', async () => {
  expect(
    await refusalOf({ 'common/layer.yaml': 'provided: [bash]', 'common/packages.list': 'bash' }),
  ).toContain('packages.list:1: bash is also in the setting provided of this layer');
});
