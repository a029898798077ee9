import { expect, test } from 'vitest';
import type { Entry } from '../../../src/host/files.ts';
import { planShell } from '../../../src/image/template/shell.ts';

const directory = (path: string): Entry => ({ path, kind: 'directory', mode: 0o755, size: 0 });
const link = (path: string, to: string): Entry => ({ path, kind: 'symlink', mode: 0o777, size: 0, link: to });
const state = 'ostree/deploy/treeline';

test('directories of the deployment are reached through /current', () => {
  expect(planShell([directory('etc'), directory('usr')], state)).toEqual(
    expect.arrayContaining([
      { path: 'etc', link: 'current/etc' },
      { path: 'usr', link: 'current/usr' },
    ]),
  );
});

test('links of the deployment stay as they are: what they lead to is in the shell too', () => {
  const plan = planShell([link('bin', 'usr/bin'), link('root', 'var/roothome')], state);
  expect(plan).toContainEqual({ path: 'bin', link: 'usr/bin' });
  expect(plan).toContainEqual({ path: 'root', link: 'var/roothome' });
});

test("/var leads to the stateroot's, not to the empty one of the deployment", () => {
  const plan = planShell([directory('var')], state);
  expect(plan.filter((entry) => entry.path === 'var')).toEqual([
    { path: 'var', link: 'ostree/deploy/treeline/var' },
  ]);
});

test('mount points are empty directories, /tmp for everyone', () => {
  const plan = planShell(['dev', 'proc', 'run', 'sys', 'tmp'].map(directory), state);
  expect(plan.filter((entry) => 'mode' in entry)).toEqual([
    { path: 'dev', mode: 0o755 },
    { path: 'proc', mode: 0o755 },
    { path: 'run', mode: 0o755 },
    { path: 'sys', mode: 0o755 },
    { path: 'tmp', mode: 0o1777 },
  ]);
});

test("what is the sysroot's own is left alone", () => {
  const own = [
    link('ostree', 'sysroot/ostree'),
    directory('boot'),
    directory('sysroot'),
    link('sbin', 'usr/sbin'),
  ];
  const paths = planShell(own, state).map((entry) => entry.path);
  expect(paths).not.toEqual(expect.arrayContaining(['ostree']));
  expect(paths.filter((path) => ['boot', 'ostree', 'sysroot', 'sbin'].includes(path))).toEqual([]);
});
