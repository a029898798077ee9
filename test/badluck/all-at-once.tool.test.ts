import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { hookPhases } from '../../src/model.ts';
import { cannotInstall, makeMirror } from '../packages/apk/alpine.ts';
import { makeKey } from '../helpers/apks.ts';
import { mirrorLine } from '../helpers/debs.ts';
import { addBusybox } from '../helpers/trees.ts';
import { kernelModule } from '../tree/kernel-module.ts';
import { checkout, expectSuccess, runProgram } from './program.ts';
import { slowPrograms } from './slow-programs.ts';
import { kernelFiles, makeSmallMirror } from './small-packages.ts';
import {
  checkRepository,
  layers,
  makeContents,
  smallLayers,
  stateOf,
  temporaryDirectory,
} from './workspaces.ts';

const targets = ['vm', 'lxc', 'ovz'] as const;
const inRelease = ['--target', 'vm', '--target', 'lxc', '--target', 'ovz'];

/** Programs that make what the images of one command share: the moment in which another one sees a part is never missed. */
const slowly = { mknod: '*', tar: '*--extract*', ostree: '*" init "*|*" config "*' };

/** A disk of 110 MiB: every image is read and hashed. */
function smallLayout(): string {
  const path = join(temporaryDirectory(), 'small.cfg');
  const sizes: Record<string, string> = {
    '72MiB': '24MiB',
    '430MiB': '80MiB',
    '40MiB': '2MiB',
    '16MiB': '4MiB',
  };
  const standard = readFileSync(join(checkout, 'layouts/vm.cfg'), 'utf8');
  writeFileSync(
    path,
    standard.replaceAll(/size=(\w+)/g, (_, size: string) => `size=${sizes[size] ?? size}`),
  );
  return path;
}

/** A user's layer with a hook in every phase, which leaves `text` in the tree. */
function writeHooks(layer: string, text: string): void {
  for (const phase of hookPhases) {
    const directory = join(layer, `hooks/${phase}.d`);
    mkdirSync(directory, { recursive: true });
    const hook = join(directory, '50-mark');
    // Before the applets are linked there is no sh in the tree.
    writeFileSync(hook, `#!/bin/busybox sh\necho '${text}' >"\${TREELINE_ROOT:-}/usr/share/hook-${phase}"\n`);
    chmodSync(hook, 0o755);
  }
}

function alpineMirror(layer: string): string {
  const key = makeKey('test.rsa.pub');
  mkdirSync(join(layer, 'keys'), { recursive: true });
  writeFileSync(join(layer, 'keys', key.name), key.publicPem);
  writeFileSync(join(layer, 'layer.yaml'), `repositories: [{name: community, keys: [${key.name}]}]\n`);
  const busybox = temporaryDirectory();
  addBusybox(busybox);
  const mirror = makeMirror();
  const program = readFileSync(join(busybox, 'usr/bin/busybox'));
  mirror.publish(
    'community',
    [
      { name: 'busybox-static', files: { 'bin/busybox.static': { content: program, mode: 0o755 } } },
      {
        name: 'linux-virt',
        files: {
          ...kernelFiles('virt', '6.6.0-0-virt', 'kernel'),
          'lib/modules/6.6.0-0-virt/kernel/fs/overlay.ko': { content: kernelModule({}) },
        },
      },
    ],
    key,
  );
  return mirror.directory;
}

describe.skipIf(cannotInstall !== undefined)(
  `all targets of both bases at once${cannotInstall === undefined ? '' : ` (skipped: ${cannotInstall})`}`,
  () => {
    it('share devices, repository and apk without ever seeing a part of them', async () => {
      makeContents();
      const workspace = temporaryDirectory();
      const [hooks, alpine, debian] = [temporaryDirectory(), temporaryDirectory(), temporaryDirectory()];
      makeSmallMirror(debian, 'kernel');
      writeHooks(hooks, 'one');
      const bases = [
        ['--base', 'debian-12', '--mirror', mirrorLine(debian), '--overlay', hooks],
        ['--base', 'alpine-v3.19', '--mirror', alpineMirror(alpine), '--overlay', alpine, '--overlay', hooks],
      ];
      const under = slowPrograms(0.1, slowly);
      const layout = ['--layout', smallLayout()];
      const inWorkspace = ['--workspace', workspace];
      for (const base of bases) {
        const options = [...inWorkspace, ...smallLayers, ...inRelease, ...layout, ...base];
        expectSuccess(await runProgram('build-lxc', options, { under }));
      }
      const first = stateOf(workspace);
      expect(Object.keys(first.refs)).toHaveLength(2 * targets.length);

      // What apk answered before is known, and so nobody unpacks it before the images are made.
      writeHooks(hooks, 'two');
      for (const shared of ['tmp', 'cache/apk/tools'])
        rmSync(join(workspace, '.treeline', shared), { recursive: true, force: true });
      const update = [...inWorkspace, '--overlays', layers, '--force'];
      expectSuccess(await runProgram('build-update', update, { under }));
      const second = stateOf(workspace);
      for (const [ref, commit] of Object.entries(first.refs)) expect(second.refs[ref]).not.toBe(commit);
      expect(second.unfinished).toEqual([]);
      expect(readdirSync(join(workspace, '.treeline/cache/apk/tools'))).toHaveLength(1);
      checkRepository(workspace);
    });
  },
);
