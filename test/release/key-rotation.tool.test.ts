import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Commit } from '../../src/model.ts';
import { commitTree, moveRef, readHead } from '../../src/ostree/commit.ts';
import { openRepository } from '../../src/ostree/repository.ts';
import { closeSigningKeys, openSigningKeys } from '../../src/ostree/signing.ts';
import { readTrustedKeys } from '../../src/ostree/trusted-keys.ts';
import { listKeys, retireKeys, rotateKeys } from '../../src/release/key-rotation.ts';
import { publishIndex, signatureName } from '../../src/release/publish-index.ts';
import { nextIndex, readIndex, updatesDirectory } from '../../src/release/update-index.ts';
import { ref } from '../ostree/small-repository.ts';
import { errorOf, temporaryDirectory, temporaryHost } from '../helpers/host.ts';
import { deployable, treeOf } from '../helpers/trees.ts';

/** A workspace that publishes small releases, each with the keyring of its time in the tree, as a whole build does. */
async function workspace() {
  const host = temporaryHost();
  await openRepository(host);
  let count = 0;
  const release = async ({ publish = true } = {}): Promise<Commit> => {
    const keys = await openSigningKeys(host);
    const directory = deployable(join(host.workspace.temporary, `tree-${(count += 1)}`), `${count}`);
    mkdirSync(join(directory, 'usr/share/treeline'), { recursive: true });
    cpSync(keys.publicKeyring, join(directory, 'usr/share/treeline/trusted.gpg'));
    const head = await readHead(host, ref);
    const commit = await commitTree(host, { tree: treeOf(directory), head, keys });
    await moveRef(host, commit);
    if (publish) {
      const index = nextIndex(await readIndex(host.workspace), [{ commit, before: [] }], []);
      await publishIndex(host, { index, deltas: [], keys, validDays: 90 });
    }
    await closeSigningKeys(host, keys);
    return commit;
  };
  return { host, release };
}

type Made = Awaited<ReturnType<typeof workspace>>;

/** A machine that runs a commit: it trusts the keys in that commit's tree, and no others. */
function machine({ host }: Made, running: Commit) {
  const { repository } = host.workspace;
  const directory = temporaryDirectory();
  const keyring = join(directory, 'trusted.gpg');
  const trusted = execFileSync('ostree', [
    ...[`--repo=${repository}`, 'cat', running.id],
    '/usr/share/treeline/trusted.gpg',
  ]);
  writeFileSync(keyring, trusted);
  const own = join(directory, 'repo');
  const ostree = (...args: string[]) => spawnSync('ostree', [`--repo=${own}`, ...args], { encoding: 'utf8' });
  ostree('init', '--mode=bare');
  ostree(
    'remote',
    'add',
    'treeline',
    'http://localhost/',
    '--set=gpg-verify=true',
    `--set=gpgkeypath=${keyring}`,
  );
  return {
    /** What ostree says against the commit; empty: it is taken. */
    objects: (commit: Commit): string => {
      const { status, stderr } = ostree(
        'pull-local',
        '--remote=treeline',
        '--gpg-verify',
        repository,
        commit.id,
      );
      return status === 0 ? '' : stderr;
    },
    /** How many signatures of the published index are of keys that the machine trusts. */
    goodSignatures: (): number => {
      const updates = updatesDirectory(host.workspace);
      const index = join(updates, 'index.json');
      const signature = join(updates, signatureName(readFileSync(index, 'utf8')));
      const { stdout } = spawnSync('gpgv', ['--status-fd', '1', '--keyring', keyring, signature, index], {
        encoding: 'utf8',
      });
      return stdout.match(/^\[GNUPG:\] VALIDSIG /gm)?.length ?? 0;
    },
  };
}

describe('exchanging the workspace’s key', () => {
  it('leads machines from the old key to the new one by a release that both have signed', async () => {
    const made = await workspace();
    const { host, release } = made;
    const before = await release();
    const [old, fresh] = (await rotateKeys(host)).map(({ fingerprint }) => fingerprint) as [string, string];
    const both = await release();
    expect(await readTrustedKeys(host, await openSigningKeys(host), before.id)).toEqual([old]);
    expect(await readTrustedKeys(host, await openSigningKeys(host), both.id)).toEqual([old, fresh]);
    const asBefore = machine(made, before);
    expect(asBefore.objects(both)).toBe('');
    expect(asBefore.goodSignatures()).toBe(1);
    expect(machine(made, both).goodSignatures()).toBe(2);

    expect((await retireKeys(host, { force: false })).map(({ signs }) => signs)).toEqual([false, true]);
    const after = await release();
    expect(await readTrustedKeys(host, await openSigningKeys(host), after.id)).toEqual([fresh]);
    expect(machine(made, both).objects(after)).toBe('');
    expect(machine(made, both).goodSignatures()).toBe(1);
    expect(machine(made, after).objects(after)).toBe('');
    expect(machine(made, after).objects(before)).toMatch(/public key not found|GPG signatures/);

    const leftBehind = machine(made, before);
    expect(leftBehind.objects(after)).toMatch(/public key not found|GPG signatures/);
    expect(leftBehind.goodSignatures()).toBe(0);
  });

  it('does not end before a release with the new key was published for every image, unless forced', async () => {
    const { host, release } = await workspace();
    await release();
    await rotateKeys(host);
    const tooEarly = await errorOf(retireKeys(host, { force: false }));
    expect(tooEarly.message).toContain(ref);
    expect(tooEarly.hint).toContain('build-update');
    await release({ publish: false });
    expect((await errorOf(retireKeys(host, { force: false }))).code).toBe('update');
    expect((await listKeys(host)).map(({ signs }) => signs)).toEqual([true, true]);
    expect((await retireKeys(host, { force: true })).map(({ signs }) => signs)).toEqual([false, true]);
  });

  it('does not end where it was not begun, nor begin twice', async () => {
    const { host, release } = await workspace();
    await release();
    expect((await errorOf(retireKeys(host, { force: true }))).hint).toContain('rotate');
    await rotateKeys(host);
    expect((await errorOf(rotateKeys(host))).hint).toContain('retire');
    expect(await listKeys(host)).toHaveLength(2);
  });

  it('can be done again with the key that is new now', async () => {
    const { host, release } = await workspace();
    await release();
    await rotateKeys(host);
    await release();
    await retireKeys(host, { force: false });
    await release();
    const keys = await rotateKeys(host);
    expect(keys.map(({ signs }) => signs)).toEqual([false, true, true]);
    await release();
    const last = await retireKeys(host, { force: false });
    expect(last.map(({ signs }) => signs)).toEqual([false, false, true]);
    expect(last.at(-1)!.fingerprint).toBe(keys.at(-1)!.fingerprint);
  });

  it('that was killed in the middle leaves the old key at work, and can be begun anew', async () => {
    const { host, release } = await workspace();
    await release();
    const [old] = await listKeys(host);
    const { keys } = host.workspace;
    await rotateKeys(host);
    // The new key is there, and the file does not name it yet: a secret key more than signers.
    writeFileSync(join(keys, 'signers'), `${old!.fingerprint}\n`);
    const opened = await openSigningKeys(host);
    expect(opened.fingerprints).toEqual([old!.fingerprint]);
    expect((await release()).id).toMatch(/^[0-9a-f]{64}$/);
    // The same before there was such a file: in a workspace that never exchanged its key.
    rmSync(join(keys, 'signers'));
    expect((await openSigningKeys(host)).fingerprints).toEqual([old!.fingerprint]);
    expect((await rotateKeys(host)).map(({ signs }) => signs)).toEqual([true, false, true]);
    // The public keyring follows, also where it was not written yet.
    rmSync(join(keys, 'public.gpg'));
    expect((await openSigningKeys(host)).fingerprints).toHaveLength(2);
    expect(existsSync(join(keys, 'public.gpg'))).toBe(true);
  });

  it('leaves commits that exist already as they are', async () => {
    const { host, release } = await workspace();
    const before = await release();
    const signatures = (): string =>
      execFileSync('ostree', [
        `--repo=${host.workspace.repository}`,
        ...['show', '--print-detached-metadata-key=ostree.gpgsigs', before.id],
      ]).toString();
    const made = signatures();
    await rotateKeys(host);
    await release();
    expect(signatures()).toBe(made);
  });
});

describe('no secret key', () => {
  /** The secret numbers of the keys: `(d #88980F…#)` in gpg-agent's files, as text or as bytes in front of their length. */
  function secretsOf(keys: string): Buffer[] {
    const directory = join(keys, 'private-keys-v1.d');
    return readdirSync(directory).map((name) => {
      const bytes = readFileSync(join(directory, name));
      const hexadecimal = /\(d\s+#([0-9A-F\s]+)#\)/.exec(bytes.toString('latin1'))?.[1];
      if (hexadecimal !== undefined) return Buffer.from(hexadecimal.replaceAll(/\s/g, ''), 'hex');
      const at = bytes.indexOf('(1:d32:');
      if (at < 0) throw new Error(`no secret number found in ${name}`);
      return bytes.subarray(at + 7, at + 39);
    });
  }

  /** How a secret may be written down. */
  const forms = (secret: Buffer): Buffer[] => [
    secret,
    ...['hex', 'base64', 'base64url'].map((form) => Buffer.from(secret.toString(form as BufferEncoding))),
    Buffer.from(secret.toString('hex').toUpperCase()),
  ];

  const filesBelow = (directory: string): string[] =>
    execFileSync('find', [directory, '-type', 'f', '-print0'])
      .toString()
      .split('\0')
      .filter((path) => path !== '');

  it('leaves the workspace’s keys: not in the repository, what is published, or the logs', async () => {
    const { host, release } = await workspace();
    await release();
    await rotateKeys(host);
    await release();
    await retireKeys(host, { force: false });
    await release();
    const { keys, root } = host.workspace;
    const secrets = secretsOf(keys);
    expect(secrets).toHaveLength(2);
    for (const secret of secrets) expect(secret).toHaveLength(32);
    const holders = filesBelow(root).filter((path) => {
      const bytes = readFileSync(path);
      return secrets.some((secret) => forms(secret).some((form) => bytes.includes(form)));
    });
    // Found where they belong, so the search does find them.
    expect(holders).toHaveLength(2);
    for (const path of holders) expect(path.startsWith(`${join(keys, 'private-keys-v1.d')}/`)).toBe(true);
    expect(filesBelow(root).length).toBeGreaterThan(30);
    for (const path of filesBelow(root))
      if (!path.startsWith(`${keys}/`)) expect(readFileSync(path).includes('PRIVATE KEY')).toBe(false);
  });
});
