import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findMissing } from '../../src/host/tools.ts';
import { inUserNamespace } from '../../src/host/user-namespace.ts';
import { fileSha256 } from '../../src/host/files.ts';
import { expectRefusal, expectSuccess } from '../badluck/program.ts';
import { filledWorkspace, layers, smallMirror, warmUp } from '../badluck/workspaces.ts';
import { buildApk, makeKey, paxHeader, rawTarEntry, tarEnd, writeRepository } from '../helpers/apks.ts';
import { mirrorLine } from '../helpers/debs.ts';
import { lacks } from '../helpers/needs.ts';
import type { Ended, OrdinaryUser } from '../helpers/ordinary-user.ts';
import { copyCheckout, makeOrdinaryUser, runIn } from '../helpers/ordinary-user.ts';
import { helloTwo } from './alpine-packages.ts';
import { alpineRelease } from '../helpers/alpine-fetch.ts';
import { alpineDirectory, alpineMissing } from '../helpers/alpine-repository.ts';

const reason =
  lacks({
    programs: [...findMissing(['build', 'vm', 'container', 'rootless']).names, 'busybox'],
    root: true,
  }) ?? (inUserNamespace() ? 'root of this container has no ids to give away' : undefined);

describe.skipIf(reason !== undefined)(
  `builds by an ordinary user${reason === undefined ? '' : ` (skipped: ${reason})`}`,
  () => {
    let directory: string;
    let checkout: string;
    let overlay: string;
    let ann: OrdinaryUser;
    const small = ['--service', 'sshd-', '--no-ssh-key'];
    let onDebian: string[];
    const workspaceOf = (name: 'root' | 'ann'): string => join(directory, name, 'workspace');

    /** The same command by both, each in a workspace of its own. */
    const runBoth = async (script: string, options: readonly string[]): Promise<void> => {
      for (const name of ['root', 'ann'] as const) {
        const under = name === 'ann' ? ann.under : [];
        expectSuccess(
          await runIn(checkout, [script, '--workspace', workspaceOf(name), ...options], { under }),
        );
      }
    };

    beforeAll(async () => {
      await warmUp('vm');
      directory = mkdtempSync(join(tmpdir(), 'tl-'));
      chmodSync(directory, 0o755);
      checkout = join(directory, 'checkout');
      copyCheckout(checkout, layers);
      const packages = join(directory, 'packages');
      cpSync(smallMirror, packages, { recursive: true });
      onDebian = [...small, '--base', 'debian-12', '--mirror', mirrorLine(packages)];
      overlay = join(directory, 'overlay');
      writeOverlay(overlay);
      mkdirSync(join(directory, 'user'));
      ann = makeOrdinaryUser(join(directory, 'user'));
      for (const name of ['root', 'ann'] as const) {
        mkdirSync(workspaceOf(name), { recursive: true });
        filledWorkspace(workspaceOf(name), 'vm');
        // Packages in the cache, and the same keys; nothing else.
        rmSync(join(workspaceOf(name), '.treeline/repo'), { recursive: true });
      }
      await ann.own(join(directory, 'ann'));
    });
    afterAll(() => rmSync(directory, { recursive: true, force: true }));

    describe('of a disk image', () => {
      beforeAll(() => runBoth('build-vm', [...onDebian, '--overlay', overlay]));

      it('give root’s bits', async () => {
        const ours = await digestsOf(join(workspaceOf('ann'), 'out'));
        expect(Object.keys(ours)).toContainEqual(expect.stringMatching(/\.img$/));
        expect(ours).toEqual(await digestsOf(join(workspaceOf('root'), 'out')));
      });

      it('have owners, setuid and capabilities in the tree, as hooks made them', async () => {
        const repo = `--repo=${join(workspaceOf('ann'), '.treeline/repo')}`;
        const ref = 'treeline/debian-12/x86_64/vm';
        const [program, ...args] = [...ann.under, 'unshare', '--user', '--map-root-user', '--map-auto'];
        const { stdout } = await execa(program!, [...args, 'ostree', repo, 'ls', '-X', ref, '/usr/mine']);
        const lines = stdout.split('\n').map((line) => line.replaceAll(/ +/g, ' '));
        expect(lines).toContainEqual(expect.stringMatching(/^-04755 65534 65533 .* \/usr\/mine\/nobodys$/));
        expect(lines).toContainEqual(expect.stringMatching(/^-00600 1000 1001 .* \/usr\/mine\/anns$/));
        expect(lines).toContainEqual(expect.stringMatching(/security\.capability.* \/usr\/mine\/capable$/));
      });

      it('leave this machine’s device nodes as they are, which a hook tried to change', () => {
        expect(statSync('/dev/null').mode & 0o777).toBe(0o666);
      });

      it('belong to the user, who can read all results', async () => {
        const { stdout } = await execa('find', [
          join(workspaceOf('ann'), 'out'),
          '!',
          '-user',
          String(ann.uid),
        ]);
        expect(stdout).toBe('');
      });
    });

    it('of a container and its update give root’s bits', async () => {
      await runBoth('build-lxc', [...onDebian, '--overlay', overlay]);
      writeFileSync(join(overlay, 'rootfs/etc/motd'), 'two\n');
      await runBoth('build-update', ['--target', 'lxc', '--deltas', '1']);
      const [ours, roots] = [join(workspaceOf('ann'), 'out'), join(workspaceOf('root'), 'out')];
      expect(await digestsOf(ours)).toEqual(await digestsOf(roots));
      const deltas = readdirSync(join(ours, 'updates')).filter((name) => name.endsWith('.delta'));
      expect(deltas).toHaveLength(2);
      for (const name of deltas) {
        const [his, other] = [ours, roots].map((out) => readFileSync(join(out, 'updates', name)));
        expect(other!.length).toBe(his!.length);
        // The 64-bit time at which ostree made it.
        expect(his!.filter((byte, at) => byte !== other![at]).length).toBeLessThanOrEqual(8);
      }
    });

    it.skipIf(alpineMissing !== undefined)(
      `of Alpine’s packages, scripts and triggers give root’s bits${alpineMissing === undefined ? '' : ` (skipped: ${alpineMissing})`}`,
      async () => {
        const mirror = join(directory, 'mirror');
        const layer = join(directory, 'alpine-layer');
        makeMirror(mirror, layer);
        writeFileSync(
          join(checkout, 'overlays/base/alpine/packages.list'),
          'alpine-base\nbusybox-static\nhello\n',
        );
        const base = ['--base', `alpine-${alpineRelease}`, '--mirror', mirror, '--overlay', layer];
        await runBoth('build-ovz', [...small, ...base]);
        const ours = await digestsOf(join(workspaceOf('ann'), `out/alpine-${alpineRelease}`));
        expect(ours).toEqual(await digestsOf(join(workspaceOf('root'), `out/alpine-${alpineRelease}`)));
      },
    );

    describe('that are stopped', () => {
      it.each([
        { signal: 'SIGTERM', exitCode: 130 },
        { signal: 'SIGINT', exitCode: 130 },
        { signal: 'SIGKILL', exitCode: null },
      ] as const)('end with all that they started: $signal', async ({ signal, exitCode }) => {
        const waiting = join(directory, 'waiting');
        mkdirSync(join(waiting, 'hooks/install.d'), { recursive: true });
        writeHook(join(waiting, 'hooks/install.d/50-wait'), 'echo reached; sleep 1000');
        const [program, ...args] = [
          ...ann.under,
          ...[process.execPath, join(checkout, 'scripts/build-lxc.mjs'), '--workspace', workspaceOf('ann')],
          ...[...onDebian, '--overlay', waiting],
        ];
        const build = spawn(program!, args, { cwd: '/', stdio: 'ignore' });
        const ended = once(build, 'exit');
        while (commandsOf(ann).every((line) => !line.endsWith('sleep 1000'))) {
          await sleep(50);
          if (build.exitCode !== null) throw new Error(`ended by itself: ${build.exitCode}`);
        }
        build.kill(signal);
        expect((await ended)[0]).toBe(exitCode);
        while (commandsOf(ann).length > 0) await sleep(50);
      });
    });
  },
);

describe.skipIf(reason !== undefined)('what does not fit an ordinary user is refused', () => {
  let directory: string;
  let checkout: string;
  const build = (workspace: string, under: readonly string[] = []): Promise<Ended> =>
    runIn(checkout, ['build-vm', '--workspace', workspace, '--base', 'debian-12'], { under });

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'tl-'));
    chmodSync(directory, 0o755);
    checkout = join(directory, 'checkout');
    copyCheckout(checkout);
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it('a machine without ids for him: what root has to type', async () => {
    const { name, under } = makeOrdinaryUser(join(directory, 'none'), 0);
    const few = makeOrdinaryUser(join(directory, 'few'), 65_535);
    const options = '--add-subuids 100000-165535 --add-subgids 100000-165535';
    expectRefusal(await build(join(directory, 'new'), under), {
      exitCode: 1,
      says: [`as ${name}`, '65536 ids', '/etc/subuid and /etc/subgid'],
      hint: [`usermod ${options} ${name}`, 'docs/rootless.md'],
    });
    expectRefusal(await build(join(directory, 'new'), few.under), {
      exitCode: 1,
      says: ['65536 ids'],
      hint: ['usermod --add-subuids 3000065535-3000131070'],
    });
    expect(existsSync(join(directory, 'new'))).toBe(false);
  });

  it('a process that may not have a user namespace: what the system said', async () => {
    const { under, own } = makeOrdinaryUser(join(directory, 'confined'));
    await own(join(directory, 'confined-workspace'));
    const confined = [...under, 'setpriv', '--no-new-privs'];
    const refused = await build(join(directory, 'confined-workspace'), confined);
    expect(refused.stdout).toBe('');
    expectRefusal(refused, {
      exitCode: 1,
      says: ['no user namespace', 'newuidmap: ', 'not permitted'],
      hint: ['docs/rootless.md'],
    });
  });

  it('root’s workspace, and his for root', async () => {
    const { name, under, own } = makeOrdinaryUser(join(directory, 'other'));
    const [roots, his] = [join(directory, 'roots'), join(directory, 'his')];
    for (const workspace of [roots, his]) mkdirSync(join(workspace, '.treeline/repo'), { recursive: true });
    await own(his);
    expectRefusal(await build(roots, under), {
      exitCode: 1,
      says: [`as ${name}`, `${roots}/.treeline/repo belongs to root`],
      hint: ['--workspace DIR', `remove ${roots}/.treeline as root`, `${roots}/.treeline/keys`],
    });
    expectRefusal(await build(his), {
      exitCode: 1,
      says: ['as root', `${his}/.treeline/repo belongs to `],
      hint: ['--workspace DIR'],
    });
    expect(readdirSync(join(roots, '.treeline'))).toEqual(['repo']);
    expect(readdirSync(join(his, '.treeline'))).toEqual(['repo']);
  });
});

/** A hook and a file of every kind that only root could make. */
function writeOverlay(overlay: string): void {
  mkdirSync(join(overlay, 'hooks/install.d'), { recursive: true });
  mkdirSync(join(overlay, 'hooks/root.d'), { recursive: true });
  mkdirSync(join(overlay, 'rootfs/etc'), { recursive: true });
  writeFileSync(join(overlay, 'rootfs/etc/motd'), 'one\n');
  // cap_net_raw, effective and permitted: struct vfs_cap_data of capabilities(7).
  const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex').toString('latin1');
  writeFileSync(
    join(overlay, 'capable.tar'),
    Buffer.concat([
      paxHeader({ 'SCHILY.xattr.security.capability': capability }),
      rawTarEntry({ path: 'usr/mine/capable', content: 'x', mode: 0o755 }),
      tarEnd,
    ]),
  );
  writeHook(
    join(overlay, 'hooks/root.d/50-capable'),
    'exec tar --extract --xattrs --xattrs-include=security.capability --directory="$TREELINE_ROOT" --file="$(dirname "$0")/../../capable.tar"',
  );
  writeHook(
    join(overlay, 'hooks/install.d/50-owners'),
    `cd /usr/mine
echo x >/dev/null
chmod 600 /dev/null || :
echo x >anns && chown 1000:1001 anns && chmod 600 anns
echo x >nobodys && chown 65534:65533 nobodys && chmod 4755 nobodys`,
  );
}

function writeHook(path: string, text: string): void {
  writeFileSync(path, `#!/bin/sh\nset -e\n${text}\n`, { mode: 0o755 });
}

/** Alpine's own packages, one with an account of its own, and busybox for the container's shell. */
function makeMirror(mirror: string, layer: string): void {
  const key = makeKey('test.rsa.pub');
  const release = join(mirror, alpineRelease);
  mkdirSync(release, { recursive: true });
  cpSync(join(alpineDirectory, alpineRelease, 'main'), join(release, 'main'), { recursive: true });
  const busybox = { content: readFileSync('/bin/busybox'), mode: 0o755 };
  const community = [
    { name: 'busybox-static', version: '1.36.1-r15', files: { 'bin/busybox.static': busybox } },
    helloTwo,
  ];
  writeRepository(
    join(release, 'community'),
    community.map((request) => buildApk(request, key)),
    key,
  );
  mkdirSync(join(layer, 'keys'), { recursive: true });
  writeFileSync(join(layer, 'keys', key.name), key.publicPem);
  writeFileSync(join(layer, 'layer.yaml'), `repositories: [{name: community, keys: [${key.name}]}]\n`);
}

/** SHA-256 of every result by its path; not of index and deltas, which tell of the time at which they were made. */
async function digestsOf(output: string): Promise<Record<string, string>> {
  const timed = ['!', '-name', 'index*', '!', '-name', '*.delta'];
  const { stdout } = await execa('find', ['.', '-type', 'f', ...timed, '-printf', '%P\\n'], { cwd: output });
  const digests: Record<string, string> = {};
  for (const path of stdout.split('\n').toSorted()) digests[path] = await fileSha256(join(output, path));
  return digests;
}

/** Command lines of what runs as a user or with one of his ids, in namespaces too. */
function commandsOf(user: OrdinaryUser): string[] {
  return readdirSync('/proc').flatMap((pid) => {
    try {
      const { uid } = statSync(`/proc/${pid}`);
      // What has ended has none.
      const line = /^\d+$/.test(pid) ? readFileSync(`/proc/${pid}/cmdline`, 'utf8') : '';
      return user.ids.includes(uid) && line !== '' ? [line.replaceAll('\0', ' ').trim()] : [];
    } catch {
      return [];
    }
  });
}
