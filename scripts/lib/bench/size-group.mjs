import { fs } from 'zx';
import { imageNames } from './image-groups.mjs';

/** How large the files are that people download. */
export function sizeGroup(bench, { name, builds }) {
  const group = `${name} sizes`;
  const run = async () => {
    for (const target of ['vm', 'lxc']) {
      await builds.prepare(target);
      const title = `${name}, size of the ${imageNames[target]}`;
      const add = (who, bytes) =>
        bench.record({ group, title, who, role: 'fact', unit: 'bytes', values: [bytes] });
      for (const { file, kind, bytes, path } of await builds.artifacts(target)) {
        if (bytes < 1 << 20) continue;
        add(kind === 'tarball' ? file.slice(file.indexOf('.tar')) : kind, bytes);
        if (kind === 'disk-image') add(`${kind} without its holes`, (await fs.stat(path)).blocks * 512);
      }
    }
  };
  return { name: group, run };
}
