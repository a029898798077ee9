import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readdirSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');
const installed = spawnSync('shellcheck', ['--version']).status === 0;

/** Every file of the layers that a shell runs: by its first line, or by its name where it is sourced. */
const scripts = readdirSync(join(root, 'overlays'), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => join(entry.parentPath, entry.name))
  .filter((path) => path.endsWith('.sh') || /^#!\S*\/(?:sh|openrc-run|busybox sh)\b/.test(beginning(path)))
  .map((path) => path.slice(root.length + 1))
  .toSorted();

describe('the shell scripts of the layers', () => {
  /** What shellcheck says of all of them, in one process; its starts took longer than its work. */
  let said: { file: string; line: number; code: number; message: string }[];

  beforeAll(() => {
    if (!installed) return;
    // SC2187: `#!/bin/busybox sh` is ash, which shellcheck takes for dash.
    const options = ['--format=json1', '--exclude=SC2187'];
    const { stdout, stderr } = spawnSync('shellcheck', [...options, ...scripts], {
      cwd: root,
      encoding: 'utf8',
    });
    if (stderr !== '') throw new Error(stderr);
    ({ comments: said } = JSON.parse(stdout) as { comments: typeof said });
  });

  it('are found', () => {
    expect(scripts).toContain('overlays/common/rootfs/usr/bin/treeline');
    expect(scripts).toContain('overlays/target/vm/rootfs/usr/lib/treeline/initramfs/init');
    expect(scripts).toContain('overlays/base/debian/rootfs/etc/init.d/networking');
  });

  it.skipIf(!installed).each(scripts)(
    '%s: shellcheck finds nothing (skipped where it is not installed)',
    (path) => expect(said.filter(({ file }) => file === path)).toEqual([]),
  );
});

function beginning(path: string): string {
  const file = openSync(path, 'r');
  const bytes = Buffer.alloc(64);
  readSync(file, bytes, 0, bytes.length, 0);
  closeSync(file);
  return bytes.toString('latin1');
}
