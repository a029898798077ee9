import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { prepareBootDirectory } from '../../src/image/disk/boot-directory.ts';
import { commitTree, moveRef, readHead } from '../../src/ostree/commit.ts';
import { readHistory } from '../../src/ostree/history.ts';
import { recallCommit, rememberCommit } from '../../src/ostree/known-commits.ts';
import { listRefs, openRepository, readCommit, resolveRef } from '../../src/ostree/repository.ts';
import { deploySysroot } from '../../src/ostree/sysroot.ts';
import { temporaryHost } from '../helpers/host.ts';
import { commitOf } from '../helpers/trees.ts';
import { ostree, ref, repository } from './small-repository.ts';

describe('the repository', () => {
  it('is made once, in the mode that keeps owners and hard links', async () => {
    const host = temporaryHost();
    expect(await openRepository(host)).toBe(host.workspace.repository);
    await openRepository(host);
    expect(ostree(host, 'config', 'get', 'core.mode').trim()).toBe('bare');
  });

  it('tells refs and commits that are not there from those that are', async () => {
    const { host, commit } = await repository();
    const made = await commit('one');
    expect(await resolveRef(host, ref)).toBeUndefined();
    expect(await readCommit(host, ref, 'f'.repeat(64))).toBeUndefined();
    await moveRef(host, made);
    expect(await resolveRef(host, ref)).toBe(made.id);
    expect(await listRefs(host, 'treeline')).toEqual([ref]);
    expect(await listRefs(host, 'cache')).toEqual([]);
  });

  it('that is damaged is not taken for one without a past', async () => {
    const { host, commit } = await repository();
    await moveRef(host, await commit('one'));
    writeFileSync(join(host.workspace.repository, 'config'), 'damaged');
    await expect(readHead(host, ref)).rejects.toThrow('no whole OSTree repository');
  });
});

describe('a commit', () => {
  it('does not move the ref: that comes with the release', async () => {
    const { host, commit } = await repository();
    const made = await commit('one');
    expect(await readHead(host, ref)).toBeUndefined();
    await moveRef(host, made);
    expect(await readHead(host, ref)).toEqual(made);
  });

  it('of the same content is the one before it, other metadata or not', async () => {
    const { host, keys, tree, commit } = await repository();
    const first = await commit('one');
    const again = await commitTree(host, {
      tree: tree('one', { epoch: first.timestamp + 1000 }),
      head: first,
      keys,
    });
    expect(again).toBe(first);
  });

  it('of the same content, first in its repository, has the same id elsewhere', async () => {
    const first = await repository();
    const second = await repository();
    expect((await first.commit('one')).id).toBe((await second.commit('one')).id);
  });

  it('of other content has its parent, a later time and the next version', async () => {
    const { commit, host, keys, tree } = await repository();
    const first = await commit('one');
    const second = await commit('two', first);
    expect(second).toMatchObject({ parent: first.id, version: '20251104.1', timestamp: first.timestamp + 1 });
    expect(second.id).not.toBe(first.id);
    const older = await commitTree(host, { tree: tree('three', { epoch: 1 }), head: second, keys });
    expect(older).toMatchObject({
      parent: second.id,
      version: '20251104.2',
      timestamp: second.timestamp + 1,
    });
    const newer = await commitTree(host, { tree: tree('four', { epoch: 1_800_000_000 }), head: older, keys });
    expect(newer).toMatchObject({ version: '20270115.0', timestamp: 1_800_000_000 });
    expect(await readCommit(host, ref, newer.id)).toEqual(newer);
  });

  it('is signed with the workspace’s key, bound to its ref, and names recipe and lock', async () => {
    const { host, keys, commit } = await repository();
    const { id } = await commit('one');
    const shown = ostree(host, 'show', `--gpg-homedir=${keys.home}`, id);
    expect(shown).toMatch(/Good signature from "Treeline workspace/);
    expect(ostree(host, 'show', '--print-metadata-key=ostree.ref-binding', id)).toContain(ref);
    expect(ostree(host, 'show', '--print-metadata-key=treeline.recipe', id)).toContain('d'.repeat(64));
    expect(ostree(host, 'show', '--print-metadata-key=treeline.lock', id)).toMatch(/[0-9a-f]{64}/);
  });

  it('that a killed build had made and signed already is taken as it is', async () => {
    const { commit } = await repository();
    const made = await commit('one');
    expect(await commit('one')).toEqual(made);
  });

  it('is recalled by its inputs while it is the head or would follow it', async () => {
    const { host, commit } = await repository();
    const first = await commit('one');
    const inputs = 'i'.repeat(64);
    expect(await recallCommit(host, { ref, inputs, head: undefined })).toBeUndefined();
    await rememberCommit(host, inputs, first);
    expect(await recallCommit(host, { ref, inputs, head: undefined })).toEqual(first);
    expect(await recallCommit(host, { ref, inputs, head: first })).toBe(first);
    const second = await commit('two', first);
    expect(await recallCommit(host, { ref, inputs, head: second })).toBeUndefined();
    await rememberCommit(host, inputs, commitOf({ id: 'e'.repeat(64) }));
    expect(await recallCommit(host, { ref, inputs, head: first })).toBeUndefined();
  });
});

describe('the history of a commit', () => {
  it('is the releases before it, newest first, as many as asked for', async () => {
    const { host, commit } = await repository();
    const first = await commit('one');
    const second = await commit('two', first);
    const third = await commit('three', second);
    expect(await readHistory(host, third, 1)).toEqual([second]);
    expect(await readHistory(host, third, 9)).toEqual([second, first]);
    expect(await readHistory(host, first, 9)).toEqual([]);
  });

  it('ends where the repository has no more of it', async () => {
    const { host, commit } = await repository();
    const second = await commit('two', await commit('one'));
    const gone = { ...second, parent: 'e'.repeat(64) };
    expect(await readHistory(host, gone, 9)).toEqual([]);
  });
});

describe('a deployment', () => {
  const deploy = async (bootLoader: 'syslinux' | 'none', updateUrl = 'http://updates.example') => {
    const { host, commit, fsck } = await repository();
    const made = await commit('one');
    const prepared: string[] = [];
    const sysroot = await deploySysroot(host, {
      commit: made,
      directory: join(host.workspace.temporary, 'sysroot'),
      bootLoader,
      kernelArguments: ['root=UUID=1-2', 'rootwait', 'console=ttyS0'],
      updateUrl,
      prepareBoot: async (directory) => {
        prepared.push(directory);
        if (bootLoader === 'syslinux') await prepareBootDirectory(directory);
      },
    });
    const config = (key: string): string =>
      execFileSync('ostree', [`--repo=${sysroot.directory}/ostree/repo`, 'config', 'get', key], {
        encoding: 'utf8',
      }).trim();
    return { host, made, sysroot, config, prepared, fsck };
  };

  it('has the tree, an /etc of its own and the state beside it', async () => {
    const { sysroot, made, fsck } = await deploy('syslinux');
    expect(sysroot.deployment).toBe(join(sysroot.directory, `ostree/deploy/treeline/deploy/${made.id}.0`));
    expect(readFileSync(join(sysroot.deployment, 'usr/share/content'), 'utf8')).toBe('one');
    expect(readFileSync(join(sysroot.deployment, 'etc/passwd'), 'utf8')).toContain('root');
    expect(existsSync(sysroot.state)).toBe(true);
    fsck();
  });

  it('has a boot entry with kernel, initramfs and arguments in order', async () => {
    const { sysroot, prepared } = await deploy('syslinux');
    const entries = join(sysroot.directory, 'boot/loader/entries');
    const [name] = readdirSync(entries);
    const entry = readFileSync(join(entries, name!), 'utf8');
    expect(entry).toMatch(
      /^options root=UUID=1-2 rootwait console=ttyS0 ostree=\/ostree\/boot\.\d\/treeline\/[0-9a-f]{64}\/0$/m,
    );
    expect(entry).toMatch(/^linux \/.*vmlinuz-6\.1\.0$/m);
    expect(entry).toMatch(/^initrd \//m);
    expect(prepared).toEqual([sysroot.directory]);
  });

  it('is configured for its boot loader, its updates and the key that it trusts', async () => {
    const { config, sysroot } = await deploy('none');
    expect(config('sysroot.bootloader')).toBe('none');
    expect(config('sysroot.readonly')).toBe('true');
    expect(config('remote "treeline".url')).toBe('http://updates.example');
    expect(config('remote "treeline".gpg-verify')).toBe('true');
    expect(config('remote "treeline".gpgkeypath')).toBe('/usr/share/treeline/trusted.gpg');
    expect(readFileSync(join(sysroot.directory, 'ostree/repo/config'), 'utf8')).not.toContain('fsync');
    expect(
      execFileSync('ostree', ['admin', 'status', `--sysroot=${sysroot.directory}`], { encoding: 'utf8' }),
    ).toContain(`origin refspec: treeline:${ref}`);
  });

  it('can be removed again', async () => {
    const { sysroot } = await deploy('syslinux');
    expect(() => rmSync(sysroot.directory, { recursive: true })).not.toThrow();
  });
});
