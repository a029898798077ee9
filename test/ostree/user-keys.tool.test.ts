import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Commit } from '../../src/model.ts';
import { commitTree } from '../../src/ostree/commit.ts';
import { openRepository } from '../../src/ostree/repository.ts';
import { checkSignatures, closeSigningKeys, openSigningKeys, signFile } from '../../src/ostree/signing.ts';
import type { TemporaryHost } from '../helpers/host.ts';
import { errorOf, temporaryDirectory, temporaryHost } from '../helpers/host.ts';
import { deployable, treeOf } from '../helpers/trees.ts';

/** A user's GnuPG with an agent that nobody answers: there is no pinentry. */
function userHome() {
  const home = join(temporaryDirectory(), 'gnupg');
  mkdirSync(home, { mode: 0o700 });
  writeFileSync(join(home, 'gpg-agent.conf'), 'pinentry-program /bin/false\nallow-preset-passphrase\n');
  onTestFinished(() => void spawnSync('gpgconf', ['--homedir', home, '--kill', 'gpg-agent']));
  const gpg = (...args: string[]): string =>
    execFileSync('gpg', ['--homedir', home, '--batch', '--pinentry-mode', 'loopback', ...args], {
      encoding: 'utf8',
      stdio: 'pipe',
    });
  const make = (
    name: string,
    { passphrase = '', use = 'sign', expires = 'never', options = [] as string[] } = {},
  ): string => {
    const quick = ['--quick-generate-key', `${name} <${name}@example.org>`, 'ed25519', use, expires];
    const told = gpg('--status-fd', '1', '--passphrase', passphrase, ...options, ...quick);
    return /KEY_CREATED \w (\w{40})/.exec(told)![1]!;
  };
  return { home, gpg, make };
}

async function workspace() {
  const host = temporaryHost();
  await openRepository(host);
  const open = async (home: string, ...names: string[]) => {
    const keys = await openSigningKeys(host, { home, names });
    onTestFinished(() => closeSigningKeys(host, keys));
    return keys;
  };
  return { host, open };
}

/** What ostree says of a commit's signatures to whoever trusts the keyring. */
function verified(host: TemporaryHost, commit: Commit, keyring: string): string {
  const home = temporaryDirectory();
  // ostree reads every *.gpg in the directory.
  cpSync(keyring, join(home, 'trusted.gpg'));
  const { repository } = host.workspace;
  return execFileSync('ostree', [`--repo=${repository}`, 'show', `--gpg-homedir=${home}`, commit.id], {
    encoding: 'utf8',
  });
}

describe('a key of the user’s own', () => {
  it('signs commits and files by its name or fingerprint; the workspace makes none', async () => {
    const { host, open } = await workspace();
    const { home, make } = userHome();
    const fingerprint = make('one');
    const keys = await open(home, 'one@example.org');
    expect(keys.fingerprints).toEqual([fingerprint]);
    expect((await open(home, fingerprint)).fingerprints).toEqual([fingerprint]);
    expect(existsSync(host.workspace.keys)).toBe(false);
    const tree = treeOf(deployable(join(host.workspace.temporary, 'tree')));
    const commit = await commitTree(host, { tree, head: undefined, keys });
    expect(verified(host, commit, keys.publicKeyring)).toContain(
      'Good signature from "one <one@example.org>"',
    );
  });

  it('signs with a subkey where the key itself may not, and counts as the key', async () => {
    const { host, open } = await workspace();
    const { home, make, gpg } = userHome();
    const fingerprint = make('main', { use: 'cert' });
    expect((await errorOf(open(home, 'main'))).message).toContain('it may not sign data');
    gpg('--passphrase', '', '--quick-add-key', fingerprint, 'ed25519', 'sign', 'never');
    const keys = await open(home, 'main');
    const path = join(host.workspace.root, 'file');
    writeFileSync(path, 'text');
    writeFileSync(`${path}.sig`, await signFile(host, keys, path, 10));
    const [made] = await checkSignatures(host, keys, { path, signature: `${path}.sig` });
    expect(made!.fingerprint).toBe(fingerprint);
    expect(made!.expires - made!.made).toBe(864_000);
    const tree = treeOf(deployable(join(host.workspace.temporary, 'tree')));
    const commit = await commitTree(host, { tree, head: undefined, keys });
    expect(verified(host, commit, keys.publicKeyring)).toContain('Good signature');
    const told = spawnSync('gpgv', ['--keyring', keys.publicKeyring, `${path}.sig`, path], {
      encoding: 'utf8',
    });
    expect(told.stderr).toContain('Good signature');
  });

  it('may be several, which all sign and are all trusted', async () => {
    const { host, open } = await workspace();
    const { home, make } = userHome();
    const fingerprints = [make('one'), make('two')];
    const keys = await open(home, 'one', 'two', 'one');
    expect(keys.fingerprints).toEqual(fingerprints);
    const path = join(host.workspace.root, 'file');
    writeFileSync(path, 'text');
    writeFileSync(`${path}.sig`, await signFile(host, keys, path, 90));
    const made = await checkSignatures(host, keys, { path, signature: `${path}.sig` });
    expect(made.map(({ fingerprint }) => fingerprint)).toEqual(fingerprints);
    const listed = execFileSync('gpg', [
      '--homedir',
      home,
      '--with-colons',
      '--show-keys',
      keys.publicKeyring,
    ]);
    expect(listed.toString().match(/^pub/gm)).toHaveLength(2);
  });

  it('with a passphrase works when the agent knows it, and is an error at once when nobody can be asked', async () => {
    const { open } = await workspace();
    const { home, make } = userHome();
    make('locked', { passphrase: 'secret words' });
    execFileSync('gpgconf', ['--homedir', home, '--kill', 'gpg-agent']);
    const error = await errorOf(open(home, 'locked'));
    expect(error.message).toBe('Cannot sign with locked: gpg could not use its secret half');
    expect(error.output).toMatch(/pinentry|failed/i);
    const listed = execFileSync(
      'gpg',
      ['--homedir', home, '--list-secret-keys', '--with-colons', '--with-keygrip'],
      { encoding: 'utf8' },
    );
    const keygrip = /^grp:+(\w{40}):/m.exec(listed)![1]!;
    execFileSync('/usr/lib/gnupg/gpg-preset-passphrase', ['--preset', keygrip], {
      input: 'secret words',
      env: { ...process.env, GNUPGHOME: home },
    });
    expect((await open(home, 'locked')).fingerprints).toHaveLength(1);
  });

  it('keeps its agent when we are done: it is not ours', async () => {
    const { host } = await workspace();
    const { home, make } = userHome();
    make('one');
    const keys = await openSigningKeys(host, { home, names: ['one'] });
    await closeSigningKeys(host, keys);
    expect(existsSync(join(home, 'S.gpg-agent'))).toBe(true);
  });

  it('is named in the error where it is missing, or its secret half, or has expired, or is one of several', async () => {
    const { host, open } = await workspace();
    const { home, make, gpg } = userHome();
    const message = async (name: string): Promise<string> => (await errorOf(open(home, name))).message;
    expect(await message('nobody')).toBe(`Cannot sign with nobody: ${home} holds no such key`);
    const nowhere = join(host.workspace.root, 'nowhere');
    expect((await errorOf(open(nowhere, 'x'))).message).toContain('holds no such key');
    expect(existsSync(nowhere)).toBe(false);
    make('old', { expires: '20200301T000000', options: ['--faked-system-time', '20200101T000000'] });
    expect(await message('old')).toBe('Cannot sign with old: it has expired');
    const twin = [make('twin.one'), make('twin.two')];
    const ambiguous = await errorOf(open(home, 'twin'));
    expect(ambiguous.message).toContain('holds 2 keys of this name');
    for (const fingerprint of twin) expect(ambiguous.hint).toContain(fingerprint);
    gpg('--yes', '--delete-secret-keys', twin[0]!);
    expect(await message('twin.one')).toBe(`Cannot sign with twin.one: ${home} holds only its public half`);
    expect(readFileSync(host.log.path, 'utf8')).not.toContain('PRIVATE');
  });
});
