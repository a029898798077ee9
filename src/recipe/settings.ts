import { runlevels } from '../model.ts';
import type { Runlevel, Settings } from '../model.ts';
import { mergeAccounts } from './accounts.ts';
import { OriginLog } from './history.ts';
import type { LayerFile } from './layer-file.ts';
import type { ReadLayerFile } from './layer-reader.ts';
import { mergeLists } from './lists.ts';
import type { Removal, Stated } from './lists.ts';
import { mergePermissions } from './permissions.ts';
import type { Problems } from './problems.ts';
import { fromRoot } from './tree-paths.ts';

export interface MergedSettings {
  settings: Settings;
  provided: Stated[];
  log: OriginLog;
  removed: Removal[];
}

/** `layer.yaml` of all layers, general to specific, as the settings that are meant. */
export function mergeSettings(files: readonly ReadLayerFile[], problems: Problems): MergedSettings {
  const log = new OriginLog();
  const removed: Removal[] = [];

  /** A list that appends; what is taken back goes to the history. */
  const list = (entries: (file: LayerFile) => readonly string[] | undefined, ...path: string[]): Stated[] => {
    const merged = mergeLists(
      files.map((read) =>
        (entries(read.file) ?? []).map((value, index) => ({ value, origin: read.origin(...path, index) })),
      ),
      problems,
    );
    removed.push(
      ...merged.removed.map((removal) => ({ ...removal, value: `${path.join('.')}.${removal.value}` })),
    );
    return merged.kept;
  };
  const recorded = (stated: readonly Stated[], name: string): string[] =>
    stated.map(({ value, origin }, index) => {
      log.record(`${name}[${index}]`, origin);
      return value;
    });
  /** A value of which the most specific one counts. */
  const last = <T>(value: (file: LayerFile) => T | undefined, ...path: string[]): T | undefined => {
    const stated = files.filter((read) => value(read.file) !== undefined);
    for (const read of stated) log.record(path.join('.'), read.origin(...path));
    const winner = stated.at(-1);
    return winner && value(winner.file);
  };
  const servicesOf = (level: Runlevel): string[] => {
    const stated = list((file) => file.services?.[level], 'services', level);
    for (const { value, origin } of stated) log.record(`services.${level}.${value}`, origin);
    return stated.map(({ value }) => value).toSorted();
  };

  const accounts = mergeAccounts(files, log, problems);
  const settings: Settings = {
    hostname: last((file) => file.hostname, 'hostname') ?? 'treeline',
    mirrors: last((file) => file.mirrors, 'mirrors') ?? [],
    exclude: recorded(
      list((file) => file.exclude?.map(fromRoot), 'exclude'),
      'exclude',
    ),
    setuid: recorded(
      list((file) => file.setuid?.map(fromRoot), 'setuid'),
      'setuid',
    ),
    ...accounts,
    services: Object.fromEntries(runlevels.map((level) => [level, servicesOf(level)])) as Record<
      Runlevel,
      string[]
    >,
    kernel: {
      enabled: last((file) => file.kernel?.enabled, 'kernel', 'enabled') ?? false,
      arguments: recorded(
        list((file) => file.kernel?.arguments, 'kernel', 'arguments'),
        'kernel.arguments',
      ),
      modules: recorded(
        list((file) => file.kernel?.modules, 'kernel', 'modules'),
        'kernel.modules',
      ),
      initramfs: recorded(
        list((file) => file.kernel?.initramfs, 'kernel', 'initramfs'),
        'kernel.initramfs',
      ),
    },
    update: { url: (last((file) => file.update?.url, 'update', 'url') ?? '').replace(/\/+$/, '') },
    permissions: mergePermissions({ files, accounts, log, problems }),
  };
  return { settings, provided: list((file) => file.provided, 'provided'), log, removed };
}
