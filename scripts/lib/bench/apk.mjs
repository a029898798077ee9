import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { fs, glob } from 'zx';
import { copyTree, removeAll, runAsRoot } from './command.mjs';

/** Alpine's apk as a command, copied out of a workspace that has built something. */
export async function findApk(workspace, to) {
  const [tools] = await glob(join(workspace, '.treeline/cache/apk/tools/*'), { onlyDirectories: true });
  await copyTree(tools, to);
  if (await fs.pathExists(join(to, 'sbin/apk.static'))) return [join(to, 'sbin/apk.static')];
  const libraries = ['--library-path', `${to}/lib:${to}/usr/lib`];
  return [join(to, 'lib/ld-musl-x86_64.so.1'), ...libraries, join(to, 'sbin/apk')];
}

/**
 * `apk add --root` as a user would call it, into an empty root: a contestant. `apk`: the command; `mirror`: a directory
 * that `npm run vendor` wrote, with its keys; `provided`: names that apk shall take as installed; `result`: what is made of the root: nothing ('tree'), a 'tar.zst', or an
 * image of so many `bytes`.
 */
export function installByHand({ directory, apk, mirror, repositories, packages, provided, result }) {
  const root = join(directory, 'by-hand');
  const file = join(directory, 'by-hand.result');
  const options = [
    ...['--root', root, '--keys-dir', join(mirror, 'keys'), '--repositories-file', '/dev/null'],
    ...repositories.flatMap((path) => ['--repository', path]),
    ...['--arch', 'x86_64', '--no-cache', '--no-progress', '--quiet'],
  ];
  const [program, ...first] = apk;
  const add = (...words) => runAsRoot(program, [...first, ...options, 'add', ...words]);
  const kinds = {
    tree: { after: '', name: '', role: 'part' },
    'tar.zst': {
      after: 'tar -C "$1" -cf - . | zstd --quiet -T0 -o "$2"',
      name: ' to .tar.zst',
      role: 'peer',
    },
  };
  const disk = { after: 'mke2fs -q -t ext4 -d "$1" "$2" "$3"', name: ' + mke2fs', role: 'peer' };
  const { after, name, role } = kinds[result] ?? disk;
  return {
    who: `apk add --root${name}`,
    role,
    does:
      result === 'tree'
        ? 'apk by hand, the same packages, with their scripts'
        : 'the same packages installed with their scripts (no initramfs, no boot loader, no repository); it begins anew each time',
    prepare: async () => {
      await removeAll(root, file);
      await add('--initdb');
      if (provided.length > 0) await addStandIn(root, provided);
    },
    run: async () => {
      await add(...packages);
      if (after === '') return;
      const size = `${Math.floor((result.bytes ?? 0) / 1024)}k`;
      await runAsRoot('sh', ['-ec', after, 'sh', root, file, size]);
    },
  };
}

/** An entry in apk's database of what is installed, in place of what our trees have something else for. */
async function addStandIn(root, provided) {
  const checksum = createHash('sha1').update('stand-in').digest('base64');
  const fields = [`C:Q1${checksum}`, 'P:stand-in', 'V:0-r0', 'A:x86_64', 'S:1', 'I:1', 'T:', 'U:', 'L:none'];
  const entry = `${[...fields, `p:${provided.join(' ')}`].join('\n')}\n\n`;
  await fs.appendFile(join(root, 'lib/apk/db/installed'), entry);
  await fs.writeFile(join(root, 'etc/apk/world'), 'stand-in\n');
}
