// oxlint-disable vitest/expect-expect -- expectRefusal, expectGoodBuild and their kin assert.
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeAll, expect, it } from 'vitest';
import { expectRefusal, expectSuccess } from './program.ts';
import {
  buildSmall,
  checkRepository,
  filledWorkspace,
  refPrefix,
  fileDirectory,
  stateOf,
  temporaryDirectory,
  undisturbedCommit,
  warmUp,
} from './workspaces.ts';

const nothingBuilt = { refs: {}, output: [], unfinished: [] };
const workspace = fileDirectory();
beforeAll(async () => {
  await warmUp();
  filledWorkspace(workspace);
});

/** Nothing that these layers do may leave a trace, so one workspace does for all. */
// oxlint-disable-next-line vitest/no-standalone-expect -- It is part of every test.
afterEach(() => expect(stateOf(workspace)).toEqual(nothingBuilt));

/** A layer of the user's own; a text that begins with #! becomes a program. */
function layer(files: Record<string, string>): string {
  const directory = temporaryDirectory();
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), text);
    if (text.startsWith('#!')) chmodSync(join(directory, path), 0o755);
  }
  return directory;
}

const buildWith = (...overlays: readonly string[]) =>
  buildSmall(
    workspace,
    overlays.flatMap((path) => ['--overlay', path]),
  );

it('a package that does not exist is named, with the line that asks for it', async () => {
  const mine = layer({ 'packages.list': '# mine\nbusybox-stattic\n' });
  expectRefusal(await buildWith(mine), {
    exitCode: 1,
    says: [`busybox-stattic (asked for by ${mine}/packages.list:2)`, 'no such package'],
    hint: ['--refresh'],
  });
});

it('a word that cannot be a package’s name is refused with its line', async () => {
  const mine = layer({ 'packages.list': 'busybox-static\n\n$(reboot)\n' });
  expectRefusal(await buildWith(mine), {
    exitCode: 1,
    says: [`${mine}/packages.list:3`, '$(reboot)'],
    hint: ['docs/layers.md'],
  });
});

it('all mistakes in a layer.yaml are told at once, each with its line and the nearest name', async () => {
  const mine = layer({ 'layer.yaml': 'hostnme: box\nservices:\n  defalt: [local]\n' });
  const known = ['Did you mean hostname?', 'Did you mean default?'];
  expectRefusal(await buildWith(mine), {
    exitCode: 1,
    says: [`${mine}/layer.yaml:1`, `${mine}/layer.yaml:3`, ...known],
    hint: ['docs/layers.md'],
  });
});

it('a layer.yaml that is no YAML is refused with its line', async () => {
  const mine = layer({ 'layer.yaml': 'hostname: [box\n' });
  expectRefusal(await buildWith(mine), {
    exitCode: 1,
    says: [`${mine}/layer.yaml:`],
    hint: ['docs/layers.md'],
  });
});

it('a service of OpenRC that the tree does not have is named, with the line and the nearest one', async () => {
  const mine = layer({ 'layer.yaml': 'services:\n  default: [sysloq]\n' });
  expectRefusal(await buildWith(mine), {
    exitCode: 1,
    says: ['sysloq', `${mine}/layer.yaml:2`],
    hint: ['Did you mean syslog?'],
  });
});

it.each([
  { phase: 'install.d', where: 'inside the tree' },
  { phase: 'root.d', where: 'on this machine' },
])(
  'a hook that fails in $phase is named with its layer, and what it printed is shown',
  async ({ phase, where }) => {
    const mine = layer({
      [`hooks/${phase}/50-mine`]: '#!/bin/sh\necho first\necho "no such gizmo" >&2\nexit 3\n',
    });
    expectRefusal(await buildWith(mine), {
      exitCode: 1,
      says: [`${mine}/hooks/${phase}/50-mine failed (exit code 3)`, '  first', '  no such gizmo'],
      hint: [mine, where],
    });
  },
);

it('a hook that nobody may execute is refused with the command that mends it', async () => {
  const mine = layer({ 'hooks/install.d/50-mine': '#!/bin/sh\n' });
  chmodSync(join(mine, 'hooks/install.d/50-mine'), 0o644);
  expectRefusal(await buildWith(mine), {
    exitCode: 1,
    says: [`chmod +x ${mine}/hooks/install.d/50-mine`],
    hint: ['docs/layers.md'],
  });
});

it('a hook in a phase that does not exist is refused with the nearest one', async () => {
  const mine = layer({ 'hooks/instal.d/50-mine': '#!/bin/sh\n' });
  expectRefusal(await buildWith(mine), {
    exitCode: 1,
    says: ['instal.d', 'Did you mean install.d?'],
    hint: ['docs/layers.md'],
  });
});

it('a rootfs that is a link out of the layer is refused', async () => {
  const mine = layer({ 'layer.yaml': 'hostname: box\n' });
  symlinkSync('/etc', join(mine, 'rootfs'));
  expectRefusal(await buildWith(mine), {
    exitCode: 1,
    says: [`${mine}/rootfs`, 'real directory'],
    hint: ['docs/layers.md'],
  });
});

it.each(['layer.yaml', 'packages.list', 'hooks/install.d/50-mine'])(
  '%s that is a link out of the layer is refused',
  async (path) => {
    const outside = layer({ file: '#!/bin/sh\nexit 0\n' });
    const mine = layer({ 'rootfs/etc/motd': 'hello\n' });
    mkdirSync(dirname(join(mine, path)), { recursive: true });
    symlinkSync(join(outside, 'file'), join(mine, path));
    expectRefusal(await buildWith(mine), {
      exitCode: 1,
      says: [`${mine}/${path}`],
      hint: ['docs/layers.md'],
    });
  },
);

it('a file behind a link of another layer does not get out of the tree', async () => {
  const outside = temporaryDirectory();
  const one = layer({ 'rootfs/usr/share/.keep': '' });
  symlinkSync(outside, join(one, 'rootfs/usr/share/escape'));
  const two = layer({ 'rootfs/usr/share/escape/file': 'outside\n' });
  expectRefusal(await buildWith(one, two), { exitCode: 1, says: ['usr/share/escape'], hint: [''] });
  expect(existsSync(join(outside, 'file'))).toBe(false);
});

it('after all of them the next build works, and gives what an undisturbed one gives', async () => {
  checkRepository(workspace);
  const copy = temporaryDirectory();
  execFileSync('cp', ['-a', join(workspace, '.treeline'), copy]);
  expectSuccess(await buildSmall(copy));
  const { refs, unfinished } = stateOf(copy);
  expect(refs).toEqual({ [`${refPrefix}/lxc`]: undisturbedCommit('lxc') });
  expect(unfinished).toEqual([]);
});
