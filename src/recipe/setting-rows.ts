import { runlevels } from '../model.ts';
import type { Origin, Recipe } from '../model.ts';

/** One value of the settings; `name` is the key of Recipe.origins. No origin: no layer said it. */
export interface SettingRow {
  name: string;
  value: string;
  origin: Origin | undefined;
}

/** The settings of a recipe one by one, in the order of docs/layers.md. Password hashes are not shown. */
export function settingRows({ distribution, settings, repositories, origins }: Recipe): SettingRow[] {
  const { kernel } = settings;
  const row = (name: string, value: unknown): SettingRow => ({
    name,
    value: String(value),
    origin: origins.get(name) ?? origins.get(name.replace(/\[\d+\]$/, '')),
  });
  const list = (name: string, values: readonly string[]): SettingRow[] =>
    values.map((value, index) => row(`${name}[${index}]`, value));
  return [
    row('distribution.id', distribution.id),
    row('distribution.name', distribution.name),
    row('distribution.codename', distribution.codename || '(none)'),
    row('distribution.packages', distribution.packages),
    row('distribution.architectures', distribution.architecture),
    row('hostname', settings.hostname),
    ...list('mirrors', settings.mirrors),
    ...repositories.map(({ name, url, tag, keys }) =>
      row(
        `repositories.${name}`,
        [url ?? 'of the mirror', tag && `tag ${tag}`, `${keys.length} ${keys.length === 1 ? 'key' : 'keys'}`]
          .filter(Boolean)
          .join(', '),
      ),
    ),
    ...list('setuid', settings.setuid),
    ...list('exclude', settings.exclude),
    ...settings.users.map(({ name, uid, group, home, shell, password }) =>
      row(
        `users.${name}`,
        `${uid}, group ${group}, ${home}, ${shell}, ${password === '*' || password === '!' ? 'no password' : 'a password'}`,
      ),
    ),
    ...settings.groups.map(({ name, gid, members }) => row(`groups.${name}`, [gid, ...members].join(', '))),
    ...runlevels.flatMap((level) =>
      settings.services[level].map((name) => row(`services.${level}.${name}`, 'on')),
    ),
    row('kernel.enabled', kernel.enabled),
    ...list('kernel.arguments', kernel.arguments),
    ...list('kernel.modules', kernel.modules),
    ...list('kernel.initramfs', kernel.initramfs),
    row('update.url', settings.update.url || '(none)'),
    ...settings.permissions.map(({ path, mode, uid, gid }) =>
      row(
        `permissions.${path}`,
        [
          mode?.toString(8).padStart(4, '0'),
          uid !== undefined && `uid ${uid}`,
          gid !== undefined && `gid ${gid}`,
        ]
          .filter(Boolean)
          .join(', '),
      ),
    ),
  ];
}
