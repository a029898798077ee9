import { join, sep } from 'node:path';
import { readBytes, readEntry, realPath } from '../host/files.ts';
import type { Origin } from '../model.ts';
import { readFailure } from './layers.ts';
import type { FoundLayer } from './layers.ts';
import type { Problems } from './problems.ts';

/** No file of settings that a person wrote is longer; in bytes. */
const longest = 1 << 20;

/** The text of a file of a layer, or undefined where there is none or it cannot be used, which is a problem. */
export async function readLayerText(
  layer: FoundLayer,
  name: string,
  problems: Problems,
): Promise<string | undefined> {
  const file = join(layer.directory, name);
  const origin = { layer: layer.name, file };
  if ((await readEntry(file)) === undefined || !(await isOwnFile(layer, origin, problems))) return undefined;
  try {
    const bytes = await readBytes(file);
    if (bytes.length <= longest) return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    problems.add(origin, `has ${bytes.length} bytes; ${longest} are the most`);
  } catch (error) {
    problems.add(origin, error instanceof TypeError ? 'is not UTF-8 text' : readFailure(error));
  }
  return undefined;
}

/** Whether `origin.file` is a regular file of this layer, or a link to one; anything else is a problem. */
export async function isOwnFile(layer: FoundLayer, origin: Origin, problems: Problems): Promise<boolean> {
  let real: string;
  try {
    real = await realPath(origin.file);
  } catch (error) {
    problems.add(origin, `cannot be read: ${readFailure(error)}`);
    return false;
  }
  if (!real.startsWith(layer.root + sep)) {
    problems.add(origin, `leads out of the layer, to ${real}`);
    return false;
  }
  const isFile = (await readEntry(real))?.kind === 'file';
  if (!isFile) problems.add(origin, 'is not a file');
  return isFile;
}
