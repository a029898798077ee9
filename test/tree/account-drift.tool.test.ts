import { execFileSync } from 'node:child_process';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Event } from '../../src/host/events.ts';
import { findMissing } from '../../src/host/tools.ts';
import type { Request } from '../../src/model.ts';
import { openRepository, ostree, resolveRef } from '../../src/ostree/repository.ts';
import { build } from '../../src/pipeline.ts';
import { checkAccountDrift } from '../../src/tree/account-drift.ts';
import { buildDeb, indexDebs, mirrorLine } from '../helpers/debs.ts';
import { errorOf, temporaryDirectory, temporaryHost } from '../helpers/host.ts';
import { lacks } from '../helpers/needs.ts';
import { addBusybox, commitOf, layFiles, treeOf } from '../helpers/trees.ts';

const reason = lacks({
  programs: [...findMissing(['build', 'container']).names, 'dpkg-deb', 'busybox'],
  root: true,
});
const ref = 'treeline/debian-12/x86_64/lxc';

describe.skipIf(reason !== undefined || process.arch !== 'x64')(
  `users and groups from build to build${reason === undefined ? '' : ` (skipped: ${reason})`}`,
  () => {
    it('keep their ids: where a layer changes one, nothing is committed until it is pinned as the hint says', async () => {
      const { host, buildWith } = workspace();
      await buildWith(accounts(['proxy', 210]));
      const first = await resolveRef(host, ref);
      const changed = accounts(['proxy', 211]);
      const error = await errorOf(buildWith(changed));
      expect(error.code).toBe('recipe');
      expect(error.message).toContain(`Cannot commit ${ref}: users or groups have other ids`);
      expect(error.message).toContain(
        `user proxy: uid 211, was 210; gid 211, was 210 (stated in ${changed}/layer.yaml:`,
      );
      expect(error.message).toContain('group proxy: gid 211, was 210');
      expect(await resolveRef(host, ref)).toBe(first);
      await buildWith(changed, layer(linesOf(error.hint!)));
      expect(accountsOf(host.workspace.repository)).toContain(
        'proxy:x:210:210:Web, proxy:/var/empty:/sbin/nologin',
      );
      expect(accountsOf(host.workspace.repository)).toContain('proxy:x:210:');
    });

    it('are warned of where an id goes to another name, and what the warning says undoes it', async () => {
      const { host, buildWith } = workspace();
      await buildWith(accounts(['proxy', 210]));
      const first = await resolveRef(host, ref);
      const changed = accounts(['web', 210]);
      await buildWith(changed);
      const [text, ...others] = host.events.flatMap(warningOf);
      expect(others).toEqual([]);
      expect(text).toContain('uid 210 was that of user proxy, which is gone, and is now that of web');
      expect(text).toContain('gid 210 was that of group proxy, which is gone, and is now that of web');
      const [, goBack, pins] = /\((ostree [^)]*)\) and pin other ids in a layer: (.*)$/.exec(text!)!;
      execFileSync('sh', ['-c', goBack!]);
      expect(await resolveRef(host, ref)).toBe(first);
      await buildWith(changed, layer(pins!.replaceAll('; ', '\n')));
      expect(host.events.flatMap(warningOf)).toHaveLength(1);
      expect(accountsOf(host.workspace.repository)).toContain('web:x:200:200:');
    });

    it('are compared with nothing where the commit before has no such files; a damaged one is an error', async () => {
      const host = temporaryHost();
      await openRepository(host);
      const directory = layFiles(temporaryDirectory(), { 'usr/share/x': 'x' });
      const commit = ['commit', '--orphan', '--subject=', `--tree=dir=${directory}`];
      const id = await ostree(host, commit);
      const tree = treeOf(layFiles(temporaryDirectory(), { 'usr/etc/passwd': 'web:x:1:1:::\n' }));
      await checkAccountDrift(host, { tree, head: undefined });
      await checkAccountDrift(host, { tree, head: commitOf({ id }) });
      expect(host.events).toEqual([]);
      const absent = checkAccountDrift(host, { tree, head: commitOf() });
      expect((await errorOf(absent)).message).toContain(
        `Cannot read usr/etc/passwd of commit ${commitOf().id}`,
      );
    });

    it('may come and go', async () => {
      const { host, buildWith } = workspace();
      await buildWith(accounts(['proxy', 210]));
      await buildWith(accounts(['web', 211]));
      expect(host.events.flatMap(warningOf)).toEqual([]);
      expect(accountsOf(host.workspace.repository)).toContain('web:x:211:211:');
    });
  },
);

/** A workspace of its own, and the whole build of a tree that is hardly more than busybox, with more layers. */
function workspace() {
  const host = temporaryHost();
  const debs = temporaryDirectory();
  buildDeb(debs, { name: 'busybox-static', files: {}, prepare: addBusybox });
  indexDebs(debs);
  const overlays = layFiles(temporaryDirectory(), {
    'base/debian/layer.yaml': `release: '12'
distribution: {name: Debian GNU/Linux, packages: deb, architectures: {x86_64: amd64}}
users:
  - {name: root, uid: 0}
  - {name: nobody, uid: 65534}
`,
    'base/debian/packages.list': 'busybox-static\n',
    'base/debian/12/layer.yaml': 'distribution: {codename: bookworm}\n',
  });
  // What a container template is made with.
  const guest = 'common/rootfs/usr/lib/treeline/container';
  cpSync(join(import.meta.dirname, '../../overlays', guest), join(overlays, guest), { recursive: true });
  const request: Request = {
    overlays,
    base: 'debian',
    arch: 'x86_64',
    target: 'lxc',
    services: [],
    extraLayers: [],
  };
  const buildWith = (...extraLayers: string[]) =>
    build(host, [
      {
        request: { ...request, extraLayers },
        baseReason: '--base',
        packages: { mirrors: [mirrorLine(debs)], offline: false, refresh: false },
        layout: join(import.meta.dirname, '../../layouts/vm.cfg'),
        sshKeys: [],
        updateUrl: '',
        keep: 3,
        flat: false,
        qcow2: false,
        epoch: undefined,
        force: false,
        explainCache: false,
        asked: {},
      },
    ]);
  return { host, buildWith };
}

const layer = (settings: string): string => layFiles(temporaryDirectory(), { 'layer.yaml': settings });
const accounts = ([name, id]: [string, number]): string =>
  layer(`users:\n  - {name: ${name}, uid: ${id}, gecos: 'Web, proxy'}\n`);

/** What stands in a hint behind its words. */
const linesOf = (hint: string): string => hint.split('\n').slice(1).join('\n');

const warningOf = (event: Event): string[] => (event.type === 'warning' ? [event.text] : []);

const accountsOf = (repository: string): string =>
  ['passwd', 'group']
    .map((name) =>
      execFileSync('ostree', [`--repo=${repository}`, 'cat', ref, `usr/etc/${name}`], { encoding: 'utf8' }),
    )
    .join('');
