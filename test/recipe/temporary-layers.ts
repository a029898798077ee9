import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { Request } from '../../src/model.ts';
import { readRecipe } from '../../src/recipe/index.ts';
import type { ReadRecipe } from '../../src/recipe/index.ts';

/** A file's content; `{ link }` a symlink; `{ script }` an executable; null a directory. */
export type Content = string | { link: string } | { script: string } | null;
export type Layout = Readonly<Record<string, Content>>;

/** The least that makes `debian` a base with one release. */
export const smallBase: Layout = {
  'base/debian/layer.yaml': [
    "release: '12'",
    'distribution:',
    '  name: Debian GNU/Linux',
    '  packages: deb',
    '  architectures: {x86_64: amd64}',
    '',
  ].join('\n'),
  'base/debian/12/layer.yaml': 'distribution: {codename: bookworm}\n',
};

/** A directory with these files that disappears with the test. */
export function layDown(layout: Layout): string {
  const root = mkdtempSync(join(tmpdir(), 'treeline-recipe-'));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  for (const [path, content] of Object.entries(layout)) {
    const file = join(root, path);
    mkdirSync(content === null ? file : dirname(file), { recursive: true });
    if (content === null) continue;
    if (typeof content === 'string') writeFileSync(file, content);
    else if ('link' in content) symlinkSync(content.link, file);
    else {
      writeFileSync(file, content.script);
      chmodSync(file, 0o755);
    }
  }
  return root;
}

export const requestFor = (overlays: string, request: Partial<Request> = {}): Request => ({
  overlays,
  base: 'debian',
  arch: 'x86_64',
  target: 'vm',
  services: [],
  extraLayers: [],
  ...request,
});

/** The recipe of a small base and these layers beside it. */
export const recipeOf = (layout: Layout, request: Partial<Request> = {}): Promise<ReadRecipe> =>
  readRecipe(requestFor(layDown({ ...smallBase, ...layout }), request));

/** The message and hint with which a recipe of these layers is refused. */
export async function refusalOf(layout: Layout, request: Partial<Request> = {}): Promise<string> {
  return refusal(recipeOf(layout, request));
}

export async function refusal(attempt: Promise<unknown>): Promise<string> {
  try {
    await attempt;
  } catch (error) {
    const { message, hint } = error as { message: string; hint?: string };
    return `${message}\n${hint ?? ''}`;
  }
  throw new Error('was not refused');
}
