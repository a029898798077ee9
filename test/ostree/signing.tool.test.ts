import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { closeSigningKeys, openSigningKeys, signFile } from '../../src/ostree/signing.ts';
import { errorOf, temporaryDirectory, temporaryHost } from '../helpers/host.ts';
import { layFiles } from '../helpers/trees.ts';
import { repository } from './small-repository.ts';

describe('the signing key', () => {
  const modes = (path: string): string[] =>
    execFileSync('find', [path, '-printf', '%y %m %P\n'], { encoding: 'utf8' }).trim().split('\n');

  it('is its owner’s alone', async () => {
    const host = temporaryHost();
    const keys = await openSigningKeys(host);
    onTestFinished(() => closeSigningKeys(host, keys));
    const all = modes(keys.home);
    expect(all.find((line) => line.endsWith(' '))).toBe('d 700 ');
    const secrets = all.filter((line) => line.includes('private-keys-v1.d'));
    expect(secrets.filter((line) => line.startsWith('f'))).toHaveLength(1);
    for (const line of secrets) expect(line).toMatch(/^(d 700|f 600) /);
  });

  it('is made once', async () => {
    const { host, keys } = await repository();
    expect(await openSigningKeys(host)).toEqual(keys);
  });

  it('is made anew where its making was interrupted', async () => {
    const host = temporaryHost();
    layFiles(host.workspace.keys, {
      'private-keys-v1.d': null,
      'pubring.kbx': 'half',
      'public.gpg.new': 'half',
    });
    const keys = await openSigningKeys(host);
    onTestFinished(() => closeSigningKeys(host, keys));
    expect(keys.fingerprints[0]).toMatch(/^[0-9A-F]{40}$/);
    expect(statSync(keys.publicKeyring).size).toBeGreaterThan(100);
  });

  it('is never thrown away: a lost public half is made from it again', async () => {
    const { host, keys } = await repository();
    const before = readFileSync(keys.publicKeyring);
    rmSync(keys.publicKeyring);
    const again = await openSigningKeys(host);
    expect(again.fingerprints).toEqual(keys.fingerprints);
    expect(readFileSync(again.publicKeyring).equals(before)).toBe(true);
  });

  it('that is lost is an error that says what losing it means', async () => {
    const { host, keys } = await repository();
    await closeSigningKeys(host, keys);
    rmSync(join(keys.home, 'private-keys-v1.d'), { recursive: true });
    const error = await errorOf(openSigningKeys(host));
    expect(error.code).toBe('host');
    expect(error.message).toBe(`Cannot sign: ${keys.home} holds no secret key`);
    expect(error.hint).toContain('backup');
  });

  it('works in a workspace whose path is longer than a socket’s may be', async () => {
    const root = join(temporaryDirectory(), 'a'.repeat(60), 'b'.repeat(60));
    mkdirSync(root, { recursive: true });
    const { commit, host, keys } = await repository(root);
    expect((await commit('one')).id).toMatch(/^[0-9a-f]{64}$/);
    expect(modes(host.workspace.keys)[0]).toBe('d 700 ');
    await closeSigningKeys(host, keys);
    expect(existsSync(keys.home)).toBe(false);
  });

  it('gives detached signatures that gpgv accepts, and only for what was signed', async () => {
    const { host, keys } = await repository();
    const path = join(host.workspace.root, 'index.json');
    writeFileSync(path, '{}');
    const signature = join(host.workspace.root, 'signature');
    writeFileSync(signature, await signFile(host, keys, path, 90));
    const gpgv = () =>
      execFileSync('gpgv', ['--keyring', keys.publicKeyring, signature, path], { stdio: 'pipe' });
    expect(gpgv).not.toThrow();
    writeFileSync(path, '{} ');
    expect(gpgv).toThrow('BAD signature');
    expect(readdirSync(host.workspace.root).toSorted()).toEqual(['.treeline', 'index.json', 'signature']);
  });

  it('leaves no agent running', async () => {
    const { host, keys } = await repository();
    await closeSigningKeys(host, keys);
    expect(existsSync(join(keys.home, 'S.gpg-agent'))).toBe(false);
  });
});
