import { join } from 'node:path';
import { packageName, packageNameRule } from './layer-file.ts';
import { readLayerText } from './layer-text.ts';
import type { FoundLayer } from './layers.ts';
import type { Stated } from './lists.ts';
import type { Problems } from './problems.ts';

/** The entries of a layer's `packages.list` as they are written, a trailing `-` included. */
export async function readPackageList(layer: FoundLayer, problems: Problems): Promise<Stated[]> {
  const text = (await readLayerText(layer, 'packages.list', problems)) ?? '';
  const entries: Stated[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    const value = line.replace(/#.*/, '').trim();
    const origin = { layer: layer.name, file: join(layer.directory, 'packages.list'), line: index + 1 };
    if (value === '') continue;
    if (packageName.test(value.replace(/-$/, ''))) entries.push({ value, origin });
    else
      problems.add(
        origin,
        `'${value}' is not a package name: ${/\s/.test(value) ? 'one a line' : packageNameRule}`,
      );
  }
  return entries;
}
