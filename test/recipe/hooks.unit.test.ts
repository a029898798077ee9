import { expect, test } from 'vitest';
import { recipeOf, refusalOf } from './temporary-layers.ts';
import type { Layout } from './temporary-layers.ts';

const script = { script: '#!/bin/sh\n' };

test('hooks run by phase, then by name', async () => {
  const { hooks } = await recipeOf({
    'common/hooks/cleanup.d/01-a': script,
    'common/hooks/install.d/50-b': script,
    'common/hooks/root.d/99-z': script,
    'common/hooks/finalise.d/00-a': script,
    'common/hooks/pre-install.d/10-a': script,
    'common/hooks/extra-data.d/10-a': script,
    'common/hooks/post-install.d/10-a': script,
    'target/vm/hooks/install.d/10-c': script,
    'target/vm/hooks/install.d/50-a': script,
  });
  expect(hooks.map(({ phase, name }) => `${phase} ${name}`)).toEqual([
    'root 99-z',
    'extra-data 10-a',
    'pre-install 10-a',
    'install 10-c',
    'install 50-a',
    'install 50-b',
    'post-install 10-a',
    'finalise 00-a',
    'cleanup 01-a',
  ]);
});

test('a hook of a more specific layer replaces the one of the same phase and name', async () => {
  const recipe = await recipeOf({
    'common/hooks/install.d/10-a': script,
    'common/hooks/finalise.d/10-a': script,
    'target/vm/hooks/install.d/10-a': script,
  });
  expect(recipe.hooks.map(({ phase, origin }) => `${phase} ${origin.layer}`)).toEqual([
    'install target/vm',
    'finalise common',
  ]);
  expect(recipe.history.hooks.get('install/10-a')).toMatchObject([{ layer: 'common' }]);
});

test('READMEs, hidden files and backups are not hooks', async () => {
  const { hooks } = await recipeOf({
    'common/hooks/README.md': '',
    'common/hooks/install.d/README': '',
    'common/hooks/install.d/.gitkeep': '',
    'common/hooks/install.d/10-a~': script,
  });
  expect(hooks).toEqual([]);
});

test('a hook may be a link to a script elsewhere in its layer, or a program', async () => {
  const { hooks } = await recipeOf({
    'common/shared/do-it': script,
    'common/hooks/install.d/10-a': { link: '../../shared/do-it' },
    'common/hooks/install.d/20-b': { script: '\u007fELF' },
  });
  expect(hooks.map(({ name }) => name)).toEqual(['10-a', '20-b']);
});

test.each<[string, Layout, string]>([
  [
    'an unknown phase',
    { 'hooks/finalize.d/10-a': script },
    'there is no phase finalize.d. Did you mean finalise.d?',
  ],
  ['a phase without .d', { 'hooks/install/10-a': script }, 'Did you mean install.d?'],
  ['a hook beside the phases', { 'hooks/10-a': script }, 'there is no phase 10-a'],
  ['a file instead of a phase', { 'hooks/install.d': '' }, 'must be a real directory'],
  [
    'a hook that may not be executed',
    { 'hooks/install.d/10-a': '#!/bin/sh\n' },
    'is not executable (chmod +x /',
  ],
  ['a hook without a number', { 'hooks/install.d/setup': script }, 'named by two digits'],
  ['a hook with one digit', { 'hooks/install.d/1-setup': script }, 'named by two digits'],
  ['a directory instead of a hook', { 'hooks/install.d/10-a/x': script }, 'is not a file'],
  [
    'a hook without an interpreter',
    { 'hooks/install.d/10-a': { script: 'echo hi\n' } },
    'neither a script, which begins with #!, nor',
  ],
  ['an empty hook', { 'hooks/install.d/10-a': { script: '' } }, 'neither a script'],
])('refuses %s', async (_, layout, reason) => {
  const inCommon = Object.fromEntries(
    Object.entries(layout).map(([path, content]) => [`common/${path}`, content]),
  );
  expect(await refusalOf(inCommon)).toContain(reason);
});
