import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it, onTestFinished } from 'vitest';
import { prepareBootDirectory } from '../../src/image/disk/boot-directory.ts';
import type { Commit, Tree } from '../../src/model.ts';
import { commitTree, moveRef, readHead } from '../../src/ostree/commit.ts';
import { makeDelta, proveDelta } from '../../src/ostree/delta.ts';
import { recallCommit, rememberCommit } from '../../src/ostree/known-commits.ts';
import { listRefs, openRepository, readCommit, resolveRef } from '../../src/ostree/repository.ts';
import { closeSigningKey, openSigningKey, signFile } from '../../src/ostree/signing.ts';
import { deploySysroot } from '../../src/ostree/sysroot.ts';
import type { TemporaryHost } from '../helpers/host.ts';
import { errorOf, temporaryDirectory, temporaryHost } from '../helpers/host.ts';
import { commitOf, deployable, layFiles, treeOf } from '../helpers/trees.ts';

const ref = 'treeline/debian-12/x86_64/vm';

async function repository(root?: string) {
  const host = temporaryHost(root);
  await openRepository(host);
  await withSharedKey(host);
  const key = await openSigningKey(host);
  onTestFinished(() => closeSigningKey(host, key));
  let count = 0;
  const tree = (content: string, parts: Partial<Tree> = {}): Tree =>
    treeOf(deployable(join(host.workspace.temporary, `tree-${(count += 1)}`), content), parts);
  const commit = async (content: string, head?: Commit): Promise<Commit> =>
    commitTree(host, { tree: tree(content), head, key });
  return { host, key, tree, commit, fsck: () => ostree(host, 'fsck', '--quiet') };
}

let sharedKey: string | undefined;

/** Making a key takes most of a test's time, so that those which are not about it share one. */
async function withSharedKey(host: TemporaryHost): Promise<void> {
  if (sharedKey === undefined) {
    sharedKey = mkdtempSync(join(tmpdir(), 'tl-key-'));
    await closeSigningKey(host, await openSigningKey(host));
    cpSync(host.workspace.keys, sharedKey, {
      recursive: true,
      filter: (path) => !lstatSync(path).isSocket(),
    });
    return;
  }
  cpSync(sharedKey, host.workspace.keys, { recursive: true });
  chmodSync(host.workspace.keys, 0o700);
}

afterAll(() => rmSync(sharedKey ?? '/nonexistent', { recursive: true, force: true }));

const ostree = (host: TemporaryHost, ...args: string[]): string =>
  execFileSync('ostree', [`--repo=${host.workspace.repository}`, ...args], {
    encoding: 'utf8',
    stdio: 'pipe',
  });

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
    const { host, key, tree, commit } = await repository();
    const first = await commit('one');
    const again = await commitTree(host, {
      tree: tree('one', { epoch: first.timestamp + 1000 }),
      head: first,
      key,
    });
    expect(again).toBe(first);
  });

  it('of the same content, first in its repository, has the same id elsewhere', async () => {
    const first = await repository();
    const second = await repository();
    expect((await first.commit('one')).id).toBe((await second.commit('one')).id);
  });

  it('of other content has its parent, a later time and the next version', async () => {
    const { commit, host, key, tree } = await repository();
    const first = await commit('one');
    const second = await commit('two', first);
    expect(second).toMatchObject({ parent: first.id, version: '20251104.1', timestamp: first.timestamp + 1 });
    expect(second.id).not.toBe(first.id);
    const older = await commitTree(host, { tree: tree('three', { epoch: 1 }), head: second, key });
    expect(older).toMatchObject({
      parent: second.id,
      version: '20251104.2',
      timestamp: second.timestamp + 1,
    });
    const newer = await commitTree(host, { tree: tree('four', { epoch: 1_800_000_000 }), head: older, key });
    expect(newer).toMatchObject({ version: '20270115.0', timestamp: 1_800_000_000 });
    expect(await readCommit(host, ref, newer.id)).toEqual(newer);
  });

  it('is signed with the workspace’s key, bound to its ref, and names recipe and lock', async () => {
    const { host, key, commit } = await repository();
    const { id } = await commit('one');
    const shown = ostree(host, 'show', `--gpg-homedir=${key.home}`, id);
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

describe('the signing key', () => {
  const modes = (path: string): string[] =>
    execFileSync('find', [path, '-printf', '%y %m %P\n'], { encoding: 'utf8' }).trim().split('\n');

  it('is its owner’s alone', async () => {
    const host = temporaryHost();
    const key = await openSigningKey(host);
    onTestFinished(() => closeSigningKey(host, key));
    const all = modes(key.home);
    expect(all.find((line) => line.endsWith(' '))).toBe('d 700 ');
    const secrets = all.filter((line) => line.includes('private-keys-v1.d'));
    expect(secrets.filter((line) => line.startsWith('f'))).toHaveLength(1);
    for (const line of secrets) expect(line).toMatch(/^(d 700|f 600) /);
  });

  it('is made once', async () => {
    const { host, key } = await repository();
    expect(await openSigningKey(host)).toEqual(key);
  });

  it('is made anew where its making was interrupted', async () => {
    const host = temporaryHost();
    layFiles(host.workspace.keys, {
      'private-keys-v1.d': null,
      'pubring.kbx': 'half',
      'public.gpg.new': 'half',
    });
    const key = await openSigningKey(host);
    onTestFinished(() => closeSigningKey(host, key));
    expect(key.fingerprint).toMatch(/^[0-9A-F]{40}$/);
    expect(statSync(key.publicKeyring).size).toBeGreaterThan(100);
  });

  it('is never thrown away: a lost public half is made from it again', async () => {
    const { host, key } = await repository();
    const before = readFileSync(key.publicKeyring);
    rmSync(key.publicKeyring);
    const again = await openSigningKey(host);
    expect(again.fingerprint).toBe(key.fingerprint);
    expect(readFileSync(again.publicKeyring).equals(before)).toBe(true);
  });

  it('that is lost is an error that says what losing it means', async () => {
    const { host, key } = await repository();
    await closeSigningKey(host, key);
    rmSync(join(key.home, 'private-keys-v1.d'), { recursive: true });
    const error = await errorOf(openSigningKey(host));
    expect(error.code).toBe('host');
    expect(error.message).toBe(`Cannot sign: ${key.home} holds no secret key`);
    expect(error.hint).toContain('backup');
  });

  it('works in a workspace whose path is longer than a socket’s may be', async () => {
    const root = join(temporaryDirectory(), 'a'.repeat(60), 'b'.repeat(60));
    mkdirSync(root, { recursive: true });
    const { commit, host, key } = await repository(root);
    expect((await commit('one')).id).toMatch(/^[0-9a-f]{64}$/);
    expect(modes(host.workspace.keys)[0]).toBe('d 700 ');
    await closeSigningKey(host, key);
    expect(existsSync(key.home)).toBe(false);
  });

  it('gives detached signatures that gpgv accepts, and only for what was signed', async () => {
    const { host, key } = await repository();
    const path = join(host.workspace.root, 'index.json');
    writeFileSync(path, '{}');
    const signature = join(host.workspace.root, 'signature');
    writeFileSync(signature, await signFile(host, key, path));
    const gpgv = () =>
      execFileSync('gpgv', ['--keyring', key.publicKeyring, signature, path], { stdio: 'pipe' });
    expect(gpgv).not.toThrow();
    writeFileSync(path, '{} ');
    expect(gpgv).toThrow('BAD signature');
    expect(readdirSync(host.workspace.root).toSorted()).toEqual(['.treeline', 'index.json', 'signature']);
  });

  it('leaves no agent running', async () => {
    const { host, key } = await repository();
    await closeSigningKey(host, key);
    expect(existsSync(join(key.home, 'S.gpg-agent'))).toBe(false);
  });
});

describe('a delta', () => {
  async function deltaBetween(fromNothing = false) {
    const made = await repository();
    const first = await made.commit('one'.repeat(1000));
    const second = await made.commit('two'.repeat(1000), first);
    const path = join(made.host.workspace.temporary, 'x.delta');
    const delta = await makeDelta(made.host, { from: fromNothing ? undefined : first.id, to: second, path });
    const prove = (changed: Partial<typeof delta> = {}) =>
      proveDelta(made.host, { ...delta, ...changed }, made.host.workspace.temporary);
    return { ...made, first, second, path, delta, prove };
  }

  it.each([false, true])('that is good passes (from nothing: %s)', async (fromNothing) => {
    const { delta, prove, path, host, fsck, first, second } = await deltaBetween(fromNothing);
    expect(delta).toMatchObject({
      ref,
      from: fromNothing ? undefined : first.id,
      to: second.id,
      bytes: statSync(path).size,
    });
    await expect(prove()).resolves.toBeUndefined();
    expect(readdirSync(host.workspace.temporary).filter((name) => name.startsWith('prove'))).toEqual([]);
    fsck();
  });

  it('that is damaged anywhere in its content is refused, and the workspace’s repository stays whole', async () => {
    const { prove, path, fsck } = await deltaBetween();
    const good = readFileSync(path);
    for (const part of [0.2, 0.4, 0.6, 0.8]) {
      const bytes = Buffer.from(good);
      bytes[Math.floor(bytes.length * part)]! ^= 0xff;
      writeFileSync(path, bytes);
      const error = await errorOf(prove());
      expect(error.code).toBe('update');
      expect(error.message).toContain('its delta does not give the new commit');
    }
    fsck();
  });

  it('that carries no good signature is refused', async () => {
    const { prove, path, second, first, host } = await deltaBetween();
    rmSync(path);
    const meta = join(
      host.workspace.repository,
      'objects',
      second.id.slice(0, 2),
      `${second.id.slice(2)}.commitmeta`,
    );
    expect(existsSync(meta)).toBe(true);
    rmSync(meta);
    await makeDelta(host, { from: first.id, to: second, path });
    expect((await errorOf(prove())).code).toBe('update');
  });

  it('that is cut off is refused', async () => {
    const { prove, path, delta } = await deltaBetween();
    truncateSync(path, Math.floor(delta.bytes / 2));
    expect((await errorOf(prove())).code).toBe('update');
  });

  it('to another commit, or from another one than it says, is refused', async () => {
    const { prove, commit, second, first } = await deltaBetween();
    const third = await commit('three', second);
    expect((await errorOf(prove({ to: third.id }))).code).toBe('update');
    expect((await errorOf(prove({ from: undefined }))).code).toBe('update');
    await expect(prove({ from: first.id })).resolves.toBeUndefined();
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
