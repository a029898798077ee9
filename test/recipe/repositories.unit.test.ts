import { expect, test } from 'vitest';
import type { Layout } from './temporary-layers.ts';
import { layDown, recipeOf, refusal, refusalOf, requestFor, smallBase } from './temporary-layers.ts';
import { readRecipe } from '../../src/recipe/recipe.ts';

const base: Layout = {
  'base/debian/keys/alpine-1.rsa.pub': 'one',
  'base/debian/keys/x86_64/alpine-2.rsa.pub': 'two',
  'base/debian/keys/aarch64/alpine-3.rsa.pub': 'three',
  'base/debian/12/layer.yaml': 'repositories: [{name: main}, {name: community}]\n',
};

/** Name, place, tag and keys of each repository. */
async function repositoriesOf(layout: Layout, request = {}): Promise<string[]> {
  const { repositories } = await recipeOf({ ...base, ...layout }, request);
  return repositories.map(({ name, url = '-', tag = '-', keys }) =>
    [name, url, tag, ...keys.map((key) => key.name)].join(' '),
  );
}

test('repositories take the keys of every architecture and of their own', async () => {
  expect(await repositoriesOf({})).toEqual([
    'main - - alpine-1.rsa.pub alpine-2.rsa.pub',
    'community - - alpine-1.rsa.pub alpine-2.rsa.pub',
  ]);
});

test('repositories of several layers stand in the order of their first mention; one is replaced whole', async () => {
  const layers = {
    'service/web/layer.yaml':
      'repositories: [{name: web, url: "https://mirror.example.org/web//"}, {name: main, tag: old}]\n',
    'target/vm/layer.yaml': 'repositories: [{name: main, url: /srv/main, tag: local}]\n',
  };
  expect(await repositoriesOf(layers, { services: ['web'] })).toEqual([
    'main - old alpine-1.rsa.pub alpine-2.rsa.pub',
    'community - - alpine-1.rsa.pub alpine-2.rsa.pub',
    'web https://mirror.example.org/web - alpine-1.rsa.pub alpine-2.rsa.pub',
  ]);
});

test('a key that a repository names counts for that one alone', async () => {
  const layers = {
    'service/web/keys/web.rsa.pub': 'web',
    'service/web/layer.yaml': 'repositories: [{name: web, keys: [web.rsa.pub]}]\n',
  };
  expect(await repositoriesOf(layers, { services: ['web'] })).toEqual([
    'main - - alpine-1.rsa.pub alpine-2.rsa.pub',
    'community - - alpine-1.rsa.pub alpine-2.rsa.pub',
    'web - - web.rsa.pub',
  ]);
});

test('a repository knows its layer and line, and its keys lie where they are', async () => {
  const { repositories, origins } = await recipeOf(base);
  expect(repositories[1]!.origin).toMatchObject({ layer: 'base/debian/12', line: 1 });
  expect(repositories[0]!.keys[1]!.path).toMatch(/base\/debian\/keys\/x86_64\/alpine-2\.rsa\.pub$/);
  expect(origins.get('repositories.community')?.layer).toBe('base/debian/12');
});

test('who may sign packages does not change the digest, as the lock has what came of it; setuid does', async () => {
  const digest = async (layout: Layout) => (await recipeOf({ ...base, ...layout })).digest;
  const plain = await digest({});
  expect(await digest({ 'target/vm/keys/machine.rsa.pub': 'key of another workspace' })).toBe(plain);
  expect(await digest({ 'target/vm/layer.yaml': 'repositories: [{name: more}]' })).toBe(plain);
  expect(await digest({ 'target/vm/layer.yaml': 'setuid: [/bin/x]' })).not.toBe(plain);
});

test('a key that is nowhere is refused with the nearest name', async () => {
  const message = await refusalOf({
    ...base,
    'target/vm/layer.yaml': 'repositories:\n  - {name: web, keys: [alpine-7.rsa.pub]}\n',
  });
  expect(message).toContain('target/vm/layer.yaml:2: repository web: no layer has keys/alpine-7.rsa.pub.');
  expect(message).toContain('Did you mean alpine-');
});

test('a repository that nobody may sign is refused', async () => {
  const message = await refusalOf({ 'base/debian/12/layer.yaml': 'repositories:\n  - {name: main}\n' });
  expect(message).toContain('layer.yaml:2: repository main: no layer pins a key for it');
});

test.each([
  ['notes.txt', ''],
  ['key.pub', ''],
  ['-x.rsa.pub', ''],
])('the file keys/%s is refused: it is named as no key', async (name, content) => {
  const message = await refusalOf({ ...base, [`target/vm/keys/${name}`]: content });
  expect(message).toContain(`target/vm/keys/${name}`);
  expect(message).toContain('is not named as a key: NAME.rsa.pub');
});

test('a key that is a link out of its layer is refused', async () => {
  const message = await refusalOf({ ...base, 'target/vm/keys/x.rsa.pub': { link: '/etc/passwd' } });
  expect(message).toContain('target/vm/keys/x.rsa.pub');
});

test('hidden files beside keys do not count', async () => {
  expect(await repositoriesOf({ 'target/vm/keys/.gitkeep': '' })).toHaveLength(2);
});

test('a layer for some bases is refused on another one, and for its own it is taken', async () => {
  const layers: Layout = { ...smallBase, 'service/glibc/layer.yaml': 'bases: [alpine]\nhostname: x\n' };
  const attempt = (layout: Layout) => readRecipe(requestFor(layDown(layout), { services: ['glibc'] }));
  expect(await refusal(attempt(layers))).toBe(
    'Cannot use service/glibc on base debian: it is for alpine only\nLeave it out, or choose --base alpine.',
  );
  const both = { ...layers, 'service/glibc/layer.yaml': 'bases: [alpine, debian]\nhostname: x\n' };
  expect((await attempt(both)).settings.hostname).toBe('x');
});

test('services that exclude each other are refused, and one alone is taken', async () => {
  const layers: Layout = {
    'service/dropbear/layer.yaml': 'conflicts: [sshd]\n',
    'service/sshd/packages.list': '',
  };
  expect(await refusalOf(layers, { services: ['sshd', 'dropbear'] })).toBe(
    'Cannot combine service/dropbear with the service sshd\nLeave one of them out; --service sshd- takes sshd away.',
  );
  expect((await recipeOf(layers, { services: ['dropbear'] })).layers.map(({ name }) => name)).toContain(
    'service/dropbear',
  );
});
