import { execFileSync } from 'node:child_process';
import {
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  readdirSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { OverlayFile } from '../../src/model.ts';
import { writeAccounts } from '../../src/tree/accounts.ts';
import { writeIdentity } from '../../src/tree/identity.ts';
import { runDepmod } from '../../src/tree/kernel.ts';
import { applyOverlay } from '../../src/tree/overlay.ts';
import { removeMatches } from '../../src/tree/packages.ts';
import { enableServices } from '../../src/tree/services.ts';
import { shapeForOstree } from '../../src/tree/shape.ts';
import { makeSkeleton } from '../../src/tree/skeleton.ts';
import { putCopy, putDirectory, putFile, putLink, removePath } from '../../src/tree/write.ts';
import { temporaryDirectory, temporaryHost } from '../helpers/host.ts';
import { addBusybox, emptyLock, layFiles, recipe, services } from '../helpers/trees.ts';

const origin = { layer: 'common', file: '/overlays/common' };

/** A checkout of a bare repository in which every file is a hard link; `check` reads every object. */
function hardLinkedTree(files: Parameters<typeof layFiles>[1]) {
  const directory = temporaryDirectory();
  const [repository, source, root] = [
    join(directory, 'repo'),
    join(directory, 'source'),
    join(directory, 'root'),
  ];
  const ostree = (...args: string[]) =>
    execFileSync('ostree', [`--repo=${repository}`, ...args], { stdio: 'pipe' });
  mkdirSync(repository);
  ostree('init', '--mode=bare');
  layFiles(source, files);
  ostree('commit', '--branch=test', `--tree=dir=${source}`, '--owner-uid=0', '--owner-gid=0');
  ostree('checkout', '--require-hardlinks', 'test', root);
  return { root, directory, check: () => ostree('fsck', '--quiet') };
}

describe('writing into a tree of hard links', () => {
  it('proves that a write through a link would be noticed', () => {
    const { root, check } = hardLinkedTree({ 'etc/motd': 'package\n' });
    writeFileSync(join(root, 'etc/motd'), 'through the link\n');
    expect(check).toThrow(/Corrupted|corrupted|invalid/i);
  });

  const source = (): string => join(layFiles(temporaryDirectory(), { source: 'layer\n' }), 'source');

  it.each<[string, (root: string) => Promise<unknown>]>([
    ['putFile', (root) => putFile(root, 'etc/motd', 'new\n', { mode: 0o600, uid: 5, gid: 6 })],
    ['putCopy', (root) => putCopy(root, 'etc/motd', source(), { mode: 0o4755, uid: 5 })],
    ['putLink', (root) => putLink(root, 'etc/motd', 'issue', { uid: 5 })],
    ['putDirectory', (root) => putDirectory(root, 'etc/init.d', { mode: 0o700, uid: 5 })],
    ['removePath', (root) => removePath(root, 'etc')],
    ['removeMatches', (root) => removeMatches(root, ['etc/**', 'usr/share/doc'])],
    ['makeSkeleton', makeSkeleton],
    ['writeAccounts', (root) => writeAccounts(root, [], [])],
    [
      'writeIdentity',
      (root) => writeIdentity(root, { recipe: recipe(), lock: emptyLock, trustedKeys: source(), epoch: 0 }),
    ],
    [
      'enableServices',
      (root) => enableServices(root, recipe({ settings: { services: services({ boot: ['net'] }) } })),
    ],
    ['shapeForOstree', (root) => makeSkeleton(root).then(() => shapeForOstree(root))],
    ['runDepmod', (root) => runDepmod(temporaryHost(), root, '6.1.0')],
    [
      'applyOverlay',
      (root) =>
        applyOverlay(root, [
          { path: 'etc/motd', kind: 'file', source: source(), mode: 0o755, uid: 1, gid: 1, origin },
          {
            path: 'etc/passwd',
            kind: 'symlink',
            link: 'motd',
            source: '',
            mode: 0o777,
            uid: 0,
            gid: 0,
            origin,
          },
        ]),
    ],
  ])('%s replaces files and leaves the repository whole', async (_name, change) => {
    const { root, check } = hardLinkedTree({
      'etc/motd': 'package\n',
      'etc/passwd': 'x',
      'etc/group': 'x',
      'etc/shadow': 'x',
      'etc/hostname': 'x',
      'etc/init.d/net': '#!/bin/sh\n',
      'etc/runlevels/boot/net': 'x',
      'usr/lib/os-release': 'x',
      'usr/lib/treeline/image.conf': 'x',
      'usr/share/treeline/packages': 'x',
      'usr/share/doc/copyright': 'x',
      lib: { link: 'usr/lib' },
      'usr/lib/modules/6.1.0/modules.order': '',
      'usr/lib/modules/6.1.0/modules.builtin': '',
      'usr/lib/modules/6.1.0/modules.dep': 'old',
      'var/lib/x': 'x',
    });
    await change(root);
    check();
    expect(readdirSync(root)).not.toHaveLength(0);
  });
});

describe('what is written', () => {
  it('has the asked-for content, mode and owner', async () => {
    const root = temporaryDirectory();
    await putFile(root, 'a/b/file', 'text', { mode: 0o4750, uid: 12, gid: 34 });
    const stat = statSync(join(root, 'a/b/file'));
    expect([readFileSync(join(root, 'a/b/file'), 'utf8'), stat.mode & 0o7777, stat.uid, stat.gid]).toEqual([
      'text',
      0o4750,
      12,
      34,
    ]);
    await putLink(root, 'a/link', '/nowhere', { uid: 12, gid: 34 });
    expect([readlinkSync(join(root, 'a/link')), lstatSync(join(root, 'a/link')).uid]).toEqual([
      '/nowhere',
      12,
    ]);
  });

  it('does not depend on the umask, the directories above it neither', async () => {
    const root = temporaryDirectory();
    const before = process.umask(0o077);
    onTestFinished(() => void process.umask(before));
    await putFile(root, 'usr/share/treeline/packages', '');
    await putDirectory(root, 'etc/runlevels/default');
    const modes = [
      'usr',
      'usr/share',
      'usr/share/treeline',
      'etc',
      'etc/runlevels',
      'etc/runlevels/default',
    ].map((path) => statSync(join(root, path)).mode & 0o7777);
    expect(modes).toEqual([0o755, 0o755, 0o755, 0o755, 0o755, 0o755]);
  });

  it('takes the place of a directory, a link, or a link that leads nowhere', async () => {
    const root = layFiles(temporaryDirectory(), {
      'directory/below': '',
      link: { link: 'target' },
      target: 'kept',
      dangling: { link: '/nowhere/at/all' },
    });
    for (const path of ['directory', 'link', 'dangling']) await putFile(root, path, 'new');
    for (const path of ['directory', 'link', 'dangling'])
      expect(lstatSync(join(root, path)).isFile()).toBe(true);
    expect(readFileSync(join(root, 'target'), 'utf8')).toBe('kept');
  });
});

describe('an overlay', () => {
  /** A tree whose links lead to a directory of this machine, which must stay as it is. */
  function treeWithWayOut() {
    const outside = layFiles(temporaryDirectory(), { file: 'host\n' });
    const root = layFiles(temporaryDirectory(), {
      'var/run': { link: outside },
      'var/up': { link: `../../../../../..${outside}` },
    });
    const state = () => {
      const { mode, uid, gid } = statSync(outside);
      const content = readFileSync(join(outside, 'file'), 'utf8');
      return { names: readdirSync(outside), content, mode: mode & 0o7777, uid, gid };
    };
    return { root, outside, state, untouched: state() };
  }
  const entry = (path: string, kind: OverlayFile['kind'], source: string): OverlayFile => ({
    path,
    kind,
    source,
    link: 'x',
    mode: 0o755,
    uid: 1,
    gid: 1,
    origin,
  });

  it.each(['file', 'symlink', 'directory'] as const)(
    'cannot reach this machine with a %s below a link',
    async (kind) => {
      const { root, outside, state, untouched } = treeWithWayOut();
      await applyOverlay(
        root,
        ['var/run/file', 'var/up/file'].map((path) => entry(path, kind, join(outside, 'file'))),
      );
      expect(state()).toEqual(untouched);
      expect(lstatSync(join(root, outside, 'file')).isFIFO()).toBe(false);
    },
  );

  it('cannot change the mode or owner of this machine’s directory that a link names', async () => {
    const { root, state, untouched } = treeWithWayOut();
    await applyOverlay(root, [entry('var/run', 'directory', ''), entry('var/up', 'directory', '')]);
    expect(state()).toEqual(untouched);
  });

  it('puts a directory where the running system would see it through a link', async () => {
    const root = layFiles(temporaryDirectory(), { 'usr/lib': null, lib: { link: '/usr/lib' } });
    await applyOverlay(root, [entry('lib', 'directory', '')]);
    expect(readlinkSync(join(root, 'lib'))).toBe('/usr/lib');
    await applyOverlay(root, [entry('lib/new', 'directory', '')]);
    const stat = statSync(join(root, 'usr/lib/new'));
    expect([stat.mode & 0o777, stat.uid]).toEqual([0o755, 1]);
  });

  it('cannot read this machine’s services through a link', async () => {
    const outside = layFiles(temporaryDirectory(), { evil: '' });
    const root = layFiles(temporaryDirectory(), { 'etc/init.d': { link: outside } });
    const wanted = recipe({ settings: { services: services({ default: ['evil'] }) } });
    await expect(enableServices(root, wanted)).rejects.toThrow('Cannot enable the service evil');
  });
});

it('a static busybox is there for the tests of hooks', () => {
  const root = temporaryDirectory();
  addBusybox(root);
  expect(execFileSync(join(root, 'usr/bin/sh'), ['-c', 'echo ok'], { encoding: 'utf8' })).toBe('ok\n');
});
