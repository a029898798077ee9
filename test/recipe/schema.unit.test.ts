import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { format } from 'prettier';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { layerJsonSchema } from '../../src/recipe/index.ts';
import { recipeOf } from './temporary-layers.ts';

const schemaFile = fileURLToPath(new URL('../../docs/layer.schema.json', import.meta.url));
const layersPage = fileURLToPath(new URL('../../docs/layers.md', import.meta.url));

test('docs/layer.schema.json is current (UPDATE_GOLDEN=1 writes it anew)', async () => {
  const schema = JSON.stringify(layerJsonSchema());
  if (process.env['UPDATE_GOLDEN'] === '1')
    writeFileSync(schemaFile, await format(schema, { parser: 'json', printWidth: 110 }));
  expect(JSON.parse(readFileSync(schemaFile, 'utf8'))).toEqual(JSON.parse(schema));
});

test('docs/layers.md explains every setting', () => {
  const page = readFileSync(layersPage, 'utf8');
  const settings = Object.keys(layerJsonSchema()['properties'] as object);
  expect(settings.filter((name) => !page.includes(`### \`${name}\``))).toEqual([]);
});

test('every example of layer.yaml in docs/layers.md can be read', async () => {
  const examples = [...readFileSync(layersPage, 'utf8').matchAll(/^```yaml\n(.*?)^```$/gms)].map(
    (match) => match[1]!,
  );
  expect(examples.length).toBeGreaterThan(8);
  const attempts = examples.map(async (example) => {
    const settings = Object.keys(parse(example) as object);
    const layer = settings.includes('release')
      ? 'base/debian'
      : settings.includes('distribution')
        ? 'base/debian/12'
        : 'target/vm';
    const layers = { ...keys, 'common/layer.yaml': accounts, [`${layer}/layer.yaml`]: example };
    return recipeOf(layers).then(
      () => [],
      (error: Error) => [example, error.message],
    );
  });
  expect((await Promise.all(attempts)).flat()).toEqual([]);
});

/** Public keys of repositories that examples name, and of those that name none. */
const keys = { 'common/keys/me@example.org-6543abcd.rsa.pub': '', 'common/keys/any.rsa.pub': '' };

/** What examples refer to by name. */
const accounts = 'users: [{name: root, uid: 0}, {name: web, uid: 300}]\ngroups: [{name: logs, gid: 301}]\n';
