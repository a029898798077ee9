import { join } from 'node:path';
import { readEntry } from '../host/files.ts';
import type { Architecture, KeyFile } from '../model.ts';
import { keyName } from './layer-file.ts';
import { isOwnFile } from './layer-text.ts';
import { visibleNames } from './layers.ts';
import type { FoundLayer } from './layers.ts';
import type { Problems } from './problems.ts';

/** A key, and the layer that pins it. */
export interface LayerKey extends KeyFile {
  layer: string;
}

/** The public keys in a layer's `keys/`, which count for every architecture, and in `keys/<arch>/`. Sorted by name. */
export async function readKeys(
  layer: FoundLayer,
  architecture: Architecture,
  problems: Problems,
): Promise<LayerKey[]> {
  const found: LayerKey[] = [];
  for (const directory of [join(layer.directory, 'keys'), join(layer.directory, 'keys', architecture)]) {
    for (const name of await visibleNames(directory)) {
      const path = join(directory, name);
      if ((await readEntry(path))?.kind === 'directory') continue;
      const origin = { layer: layer.name, file: path };
      if (!keyName.test(name)) problems.add(origin, 'is not named as a key: NAME.rsa.pub');
      else if (await isOwnFile(layer, origin, problems)) found.push({ name, path, layer: layer.name });
    }
  }
  return found;
}

/** Keys of all layers, general to specific: of one name the most specific layer's, as with other files. */
export const mergeKeys = (lists: readonly (readonly LayerKey[])[]): LayerKey[] => [
  ...new Map(lists.flat().map((key) => [key.name, key])).values(),
];
