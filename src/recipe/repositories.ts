import { knownNamesHint } from '../host/nearest.ts';
import type { Origin, Repository } from '../model.ts';
import type { OriginLog } from './history.ts';
import type { LayerKey } from './keys.ts';
import type { LayerFile } from './layer-file.ts';
import type { ReadLayerFile } from './layer-reader.ts';
import type { Problems } from './problems.ts';

type Written = NonNullable<LayerFile['repositories']>[number] & { origin: Origin };

/**
 * Repositories of all layers in the order of their first mention; one of the same name in a more specific layer replaces
 * the general one whole. A key that some repository names counts for those that name it alone; all others count for the
 * repositories that name none.
 */
export function mergeRepositories(
  files: readonly ReadLayerFile[],
  { keys, log, problems }: { keys: readonly LayerKey[]; log: OriginLog; problems: Problems },
): Repository[] {
  const merged = new Map<string, Written>();
  for (const { file, origin } of files) {
    for (const [index, entry] of (file.repositories ?? []).entries()) {
      const at = origin('repositories', index);
      log.record(`repositories.${entry.name}`, at);
      merged.set(entry.name, { ...entry, origin: at });
    }
  }
  const written = [...merged.values()];
  const claimed = new Set(written.flatMap((entry) => entry.keys ?? []));
  const common = keys.filter((key) => !claimed.has(key.name));
  return written.map(({ name, url, tag, keys: named, origin }) => {
    for (const key of (named ?? []).filter((wanted) => keys.every((known) => known.name !== wanted))) {
      const known = knownNamesHint(
        key,
        keys.map((candidate) => candidate.name),
      );
      problems.add(origin, `repository ${name}: no layer has keys/${key}. ${known}`);
    }
    const own = named === undefined ? common : keys.filter((key) => named.includes(key.name));
    if (own.length === 0 && named === undefined)
      problems.add(origin, `repository ${name}: no layer pins a key for it; put its public key into keys/`);
    return {
      name,
      ...(url !== undefined && { url: url.replace(/(?<=.)\/+$/, '') }),
      ...(tag !== undefined && { tag }),
      keys: own.map((key) => ({ name: key.name, path: key.path })),
      origin,
    };
  });
}
