import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { HookPhase } from '../../src/model.ts';
import { linkBusyboxApplets } from '../../src/tree/busybox.ts';
import { runHooks } from '../../src/tree/hooks.ts';
import { makeSkeleton } from '../../src/tree/skeleton.ts';
import { errorOf, temporaryDirectory, temporaryHost } from '../helpers/host.ts';
import { addBusybox, hook, recipe } from '../helpers/trees.ts';

const inTree: readonly HookPhase[] = ['pre-install', 'install', 'post-install', 'finalise'];
const onHost: readonly HookPhase[] = ['root', 'extra-data', 'cleanup'];

async function treeWithShell() {
  const root = temporaryDirectory();
  await makeSkeleton(root);
  addBusybox(root);
  const host = temporaryHost();
  await linkBusyboxApplets(host, root);
  const layer = temporaryDirectory();
  const run = (phase: HookPhase, ...texts: string[]) => {
    const hooks = texts.map((text, index) => hook(join(layer, `${phase}.d/${index}0-name`), phase, text));
    return runHooks(host, root, recipe({ hooks }), phase);
  };
  const said = (name: string): string => readFileSync(join(root, name), 'utf8');
  const listing = (): string =>
    execFileSync('find', ['.', '-printf', String.raw`%P %y %m %U %G %l\n`], { cwd: root, encoding: 'utf8' });
  return { host, root, layer, run, said, listing };
}

describe('hooks inside the tree', () => {
  it.each(inTree)('run in the phase %s with the tree as /', async (phase) => {
    const { run, said } = await treeWithShell();
    await run(phase, '#!/bin/sh\nset -e\npwd > /usr/said\nls / >> /usr/said\n');
    expect(said('usr/said').split('\n')).toEqual(expect.arrayContaining(['/', 'usr', 'etc', 'sysroot']));
  });

  it('see no network and no file of this machine', async () => {
    const { run, said, layer } = await treeWithShell();
    writeFileSync(join(layer, 'secret'), 'x');
    await run(
      'install',
      `#!/bin/sh
      { grep -c : /proc/net/dev; cut -d: -f1 /proc/net/dev | grep -v '|'; } > /usr/network
      ls -d ${layer} ${process.cwd()} /home/* > /usr/files 2>/dev/null
      ls /tmp /run >> /usr/files
      env > /usr/environment
      true\n`,
    );
    expect(said('usr/network').split(/\s+/).filter(Boolean)).toEqual(['1', 'lo']);
    expect(said('usr/files')).toBe('/run:\n\n/tmp:\nhook\n');
    expect(said('usr/environment')).not.toMatch(/^(USER|npm_|NODE|VITEST)/m);
  });

  it('know what they are run for', async () => {
    const { run, said } = await treeWithShell();
    await run('install', '#!/bin/sh\nenv | grep TREELINE | sort > /usr/said\n');
    expect(said('usr/said')).toBe(
      'TREELINE_ARCH=x86_64\nTREELINE_BASE=debian\nTREELINE_RELEASE=12\nTREELINE_TARGET=vm\n',
    );
  });

  it('leave nothing of themselves and of the sandbox in the tree', async () => {
    const { run, listing } = await treeWithShell();
    const before = listing();
    await run('install', '#!/bin/sh\necho x > /tmp/x; echo x > /run/x; echo x > /dev/shm/x\n');
    expect(listing()).toBe(before);
  });

  it('cannot change the kernel’s settings, which are the machine’s', async () => {
    const { run, said } = await treeWithShell();
    const setting = '/proc/sys/vm/page-cluster';
    await run(
      'install',
      `#!/bin/sh\ncp ${setting} /usr/said; { cat /usr/said > ${setting}; } 2>/usr/said; true\n`,
    );
    expect(said('usr/said')).toContain('Read-only file system');
  });

  it('cannot reach the machine’s disks and cannot load modules', async () => {
    const { run, said } = await treeWithShell();
    await run(
      'install',
      `#!/bin/sh
      for try in 'mknod /usr/disk b 8 0' 'mount -t tmpfs x /usr' 'chroot /'; do $try true 2>/dev/null && echo "$try"; done > /usr/said
      grep CapEff /proc/self/status >> /usr/said
      true\n`,
    );
    const capabilities = BigInt(`0x${/CapEff:\s+(\w+)/.exec(said('usr/said'))![1]}`);
    const [sysModule, sysRawio, sysAdmin, mknod] = [16n, 17n, 21n, 27n].map(
      (bit) => (capabilities >> bit) & 1n,
    );
    expect({ sysModule, sysRawio, sysAdmin, mknod }).toEqual({
      sysModule: 0n,
      sysRawio: 0n,
      sysAdmin: 0n,
      mknod: 0n,
    });
  });
});

describe('what a hook inside the tree may do', () => {
  it('is to give files to other users, and to write into what is theirs', async () => {
    const { run, root } = await treeWithShell();
    await run(
      'install',
      `#!/bin/sh
      set -e
      touch /usr/mine; chown 7:8 /usr/mine; chmod 4600 /usr/mine; echo x >> /usr/mine; rm -f /usr/mine
      mkdir -m 700 /usr/theirs; chown 7:8 /usr/theirs; echo x > /usr/theirs/x\n`,
    );
    const stat = statSync(join(root, 'usr/theirs'));
    expect([stat.uid, stat.gid, existsSync(join(root, 'usr/theirs/x'))]).toEqual([7, 8, true]);
  });
});

describe('hooks on the host', () => {
  it.each(onHost)('run in the phase %s with the tree in TREELINE_ROOT', async (phase) => {
    const { run, said, root } = await treeWithShell();
    await run(
      phase,
      '#!/bin/sh\nset -e\npwd > "$TREELINE_ROOT/said"\necho "$TREELINE_TARGET" >> "$TREELINE_ROOT/said"\n',
    );
    expect(said('said')).toBe(`${root}\nvm\n`);
  });
});

describe('hooks of both kinds', () => {
  it.each<HookPhase>(['install', 'root'])(
    'run in order, those of the phase %s alone, until one fails',
    async (phase) => {
      const { host, root, layer, said } = await treeWithShell();
      const place = phase === 'root' ? '$TREELINE_ROOT' : '';
      const hooks = [
        hook(join(layer, 'a/10-one'), phase, `#!/bin/sh\necho one >> ${place}/said\n`),
        hook(join(layer, 'a/20-other'), 'finalise', `#!/bin/sh\necho other >> /said\n`),
        hook(
          join(layer, 'b/20-two'),
          phase,
          `#!/bin/sh\necho two >> ${place}/said; echo printed; echo broken >&2; exit 7\n`,
        ),
        hook(join(layer, 'b/30-three'), phase, `#!/bin/sh\necho three >> ${place}/said\n`),
      ];
      const error = await errorOf(runHooks(host, root, recipe({ hooks }), phase));
      expect(said('said')).toBe('one\ntwo\n');
      expect(error.code).toBe('hook');
      expect(error.message).toBe(
        `Cannot build treeline/debian-12/x86_64/vm: the hook ${join(layer, 'b/20-two')} failed (exit code 7)`,
      );
      expect(error.output).toBe('printed\nbroken');
      expect(error.hint).toContain('It belongs to the layer service/test.');
    },
  );

  it.each<HookPhase>(['install', 'root'])(
    'whose interpreter does not exist are a failed hook in the phase %s',
    async (phase) => {
      const { run } = await treeWithShell();
      const error = await errorOf(run(phase, '#!/usr/bin/no-such-interpreter\n'));
      expect(error.code).toBe('hook');
      expect(error.output).not.toBe('');
    },
  );

  it.each<HookPhase>(['install', 'root'])(
    'that a signal ends are a failed hook in the phase %s',
    async (phase) => {
      const { run } = await treeWithShell();
      const error = await errorOf(run(phase, '#!/bin/sh\necho last words\nkill -9 $$\n'));
      expect(error.code).toBe('hook');
      expect(error.output).toContain('last words');
    },
  );
});

describe('busybox', () => {
  it('gives the tree every applet that no package provides', async () => {
    const root = temporaryDirectory();
    await makeSkeleton(root);
    addBusybox(root);
    writeFileSync(join(root, 'usr/sbin/ls'), 'of a package');
    await linkBusyboxApplets(temporaryHost(), root);
    expect(readFileSync(join(root, 'usr/sbin/ls'), 'utf8')).toBe('of a package');
    expect(existsSync(join(root, 'usr/bin/ls'))).toBe(false);
    expect([existsSync(join(root, 'usr/bin/cat')), existsSync(join(root, 'usr/sbin/udhcpc'))]).toEqual([
      true,
      true,
    ]);
    expect(existsSync(join(root, 'usr/bin/dpkg'))).toBe(false);
  });

  it('does nothing where the tree has none', async () => {
    const root = temporaryDirectory();
    await makeSkeleton(root);
    await linkBusyboxApplets(temporaryHost(), root);
    expect(existsSync(join(root, 'usr/bin/cat'))).toBe(false);
  });
});
