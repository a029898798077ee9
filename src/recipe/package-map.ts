import { z } from 'zod';
import { packageName, packageNameRule } from './layer-file.ts';
import { parseYaml, validate } from './layer-reader.ts';
import { readLayerText } from './layer-text.ts';
import type { FoundLayer } from './layers.ts';
import type { Stated } from './lists.ts';
import type { Problems } from './problems.ts';
import type { ResolvedBase } from './bases.ts';

const namesRule = `package names with blanks between them, or empty to skip it; ${packageNameRule}`;
const names = z
  .string()
  .refine((value) => value.split(/\s+/).every((name) => name === '' || packageName.test(name)), namesRule);
const translations = z.record(z.string(), names);

/** diskimage-builder's pkg-map format: docs.openstack.org/diskimage-builder/latest/elements/pkg-map/README.html */
const packageMapSchema = z
  .strictObject({
    release: z.record(z.string(), z.record(z.string(), translations)),
    distro: z.record(z.string(), translations),
    family: z.record(z.string(), translations),
    default: translations,
  })
  .partial();

/** Families as diskimage-builder has them. */
const families: Readonly<Record<string, readonly string[]>> = {
  debian: ['debian', 'ubuntu'],
  redhat: ['centos', 'fedora', 'openeuler', 'rhel'],
  suse: ['opensuse'],
  gentoo: ['gentoo'],
};

/** Generic package name → the distribution's own names, none where the package is to be skipped. */
export type PackageMap = ReadonlyMap<string, readonly string[]>;

/** What a layer's `pkg-map.json` says for one base, the most specific section first; empty where it has none. */
export async function readPackageMap(
  layer: FoundLayer,
  base: ResolvedBase,
  problems: Problems,
): Promise<PackageMap> {
  const text = await readLayerText(layer, 'pkg-map.json', problems);
  if (text === undefined) return new Map();
  const parsed = parseYaml(layer, 'pkg-map.json', text, problems);
  const map = isJson(text)
    ? validate(packageMapSchema, parsed, problems)
    : problems.add(parsed.origin([]), 'is not JSON');
  if (!map) return new Map();
  const family = Object.keys(families).find((name) => families[name]!.includes(base.distro));
  const merged = {
    ...map.default,
    ...(family !== undefined && map.family?.[family]),
    ...map.distro?.[base.distro],
    ...map.release?.[base.distro]?.[base.release],
  };
  return new Map(
    Object.entries(merged).map(([name, own]) => [name, own.split(/\s+/).filter((part) => part !== '')]),
  );
}

/** Entries of a package list with generic names translated by the first map that knows them; `-` stays at the end. */
export function translate(entries: readonly Stated[], maps: readonly PackageMap[]): Stated[] {
  return entries.flatMap(({ value, origin }) => {
    const removal = value.endsWith('-') ? '-' : '';
    const generic = removal === '' ? value : value.slice(0, -1);
    const own = maps.find((map) => map.has(generic))?.get(generic) ?? [generic];
    return own.map((name) => ({ value: name + removal, origin }));
  });
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
