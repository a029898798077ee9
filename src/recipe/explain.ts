import { relative } from 'node:path';
import { hookPhases } from '../model.ts';
import type { Origin, Recipe } from '../model.ts';
import type { History } from './history.ts';
import { hookKey } from './hooks.ts';
import type { Removal } from './lists.ts';
import type { ReadRecipe } from './recipe.ts';
import { settingRows } from './setting-rows.ts';

/** The recipe for people: every value with the layer, file and line that it came from, and what it replaced. */
export function explainRecipe(recipe: Recipe): string {
  const { distribution } = recipe;
  const codename = distribution.codename === '' ? '' : ` (${distribution.codename})`;
  const sections = [
    section(recipe.ref, [
      [
        'distribution',
        `${distribution.name} ${distribution.release}${codename}, ${distribution.packages} packages for ${distribution.architecture}`,
      ],
      ['recipe', recipe.digest],
    ]),
    section(
      'Layers, general to specific',
      recipe.layers.map(({ name, directory }) => (name === directory ? [name] : [name, directory])),
    ),
    section('Packages', packageRows(recipe)),
    section('Packages taken back', removalRows(recipe, historyOf(recipe).packages)),
    section('Provided by the tree itself', provisionRows(recipe)),
    section('Settings', settingRowsOf(recipe)),
    section('Settings taken back', removalRows(recipe, historyOf(recipe).settings)),
    section('Files', fileRows(recipe)),
    section('Hooks, in the order they run', hookRows(recipe)),
  ];
  return sections.filter((text) => text !== '').join('\n\n');
}

/** The same for programs: plain data, to be printed as JSON. */
export function recipeAsJson(recipe: Recipe): Record<string, unknown> {
  const at = (origin: Origin | undefined): string | null =>
    origin === undefined ? null : shownOrigin(recipe, origin);
  const all = (origins: readonly Origin[] | undefined): (string | null)[] => (origins ?? []).map(at);
  const removals = (list: readonly Removal[]) =>
    list.map(({ value, asked, removed }) => ({ value, asked: at(asked), removed: at(removed) }));
  const history = historyOf(recipe);
  return {
    ref: recipe.ref,
    distribution: recipe.distribution,
    digest: recipe.digest,
    layers: recipe.layers,
    packages: recipe.packages.map(({ name, origin }) => ({ name, origin: at(origin) })),
    packagesTakenBack: removals(history.packages),
    provided: recipe.provided.map(({ name, origin }) => ({ name, origin: at(origin) })),
    settings: settingRows(recipe).map(({ name, value, origin }) => ({
      name,
      value,
      origin: at(origin),
      replaces: all(history.replaced.get(name)),
    })),
    settingsTakenBack: removals(history.settings),
    files: recipe.files.map(({ path, kind, mode, uid, gid, link, origin }) => ({
      path,
      kind,
      mode: octal(mode),
      uid,
      gid,
      ...(link !== undefined && { link }),
      origin: at(origin),
      replaces: all(history.files.get(path)),
    })),
    hooks: recipe.hooks.map((hook) => ({
      phase: hook.phase,
      name: hook.name,
      origin: at(hook.origin),
      replaces: all(history.hooks.get(hookKey(hook))),
    })),
  };
}

const emptyHistory: History = {
  packages: [],
  settings: [],
  files: new Map(),
  hooks: new Map(),
  replaced: new Map(),
};

/** A recipe that was not read from layers here (a test's) has none. */
const historyOf = (recipe: Recipe): History => (recipe as Partial<ReadRecipe>).history ?? emptyHistory;

const packageRows = (recipe: Recipe): string[][] =>
  recipe.packages.map(({ name, origin }) => [name, shownOrigin(recipe, origin)]);
const provisionRows = (recipe: Recipe): string[][] =>
  recipe.provided.map(({ name, origin }) => [name, shownOrigin(recipe, origin)]);

function removalRows(recipe: Recipe, removals: readonly Removal[]): string[][] {
  return removals.map(({ value, asked, removed }) => [
    value,
    `asked for by ${shownOrigin(recipe, asked)}, taken back by ${shownOrigin(recipe, removed)}`,
  ]);
}

function settingRowsOf(recipe: Recipe): string[][] {
  const { replaced } = historyOf(recipe);
  return settingRows(recipe).map(({ name, value, origin }) => {
    const where =
      origin === undefined
        ? '(default)'
        : shownOrigin(recipe, origin) + replacing(recipe, replaced.get(name));
    return [name, value, where];
  });
}

function fileRows(recipe: Recipe): string[][] {
  const { files: replaced } = historyOf(recipe);
  return recipe.files
    .filter(({ kind, mode, uid, gid }) => kind !== 'directory' || mode !== 0o755 || uid !== 0 || gid !== 0)
    .map(({ path, kind, mode, uid, gid, link, origin }) => [
      link === undefined ? path + (kind === 'directory' ? '/' : '') : `${path} → ${link}`,
      kind === 'symlink' ? 'link' : octal(mode),
      `${uid}:${gid}`,
      shownOrigin(recipe, origin) + replacing(recipe, replaced.get(path)),
    ]);
}

function hookRows(recipe: Recipe): string[][] {
  const { hooks: replaced } = historyOf(recipe);
  const width = Math.max(...hookPhases.map((phase) => phase.length));
  return recipe.hooks.map((hook) => [
    `${hook.phase.padEnd(width)}  ${hook.name}`,
    shownOrigin(recipe, hook.origin) + replacing(recipe, replaced.get(hookKey(hook))),
  ]);
}

function replacing(recipe: Recipe, origins: readonly Origin[] | undefined): string {
  return origins === undefined
    ? ''
    : `, replaces ${origins.map((origin) => shownOrigin(recipe, origin)).join(', ')}`;
}

/** `common/packages.list:3`: the layer's name, the file in it, the line. */
function shownOrigin(recipe: Recipe, { layer, file, line }: Origin): string {
  const directory = recipe.layers.find(({ name }) => name === layer)?.directory;
  const inside = directory === undefined ? file : `${layer}/${relative(directory, file)}`;
  return line === undefined ? inside : `${inside}:${line}`;
}

const octal = (mode: number): string => mode.toString(8).padStart(4, '0');

/** A heading and its rows in columns; nothing where there are none. */
function section(heading: string, rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return '';
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.min(48, Math.max(...rows.map((row) => row[column]?.length ?? 0))),
  );
  const lines = rows.map((row) =>
    `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd(),
  );
  return [heading, ...lines].join('\n');
}
