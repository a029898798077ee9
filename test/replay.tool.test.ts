import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Commit } from '../src/model.ts';
import { signaturesOf } from '../src/ostree/commit-signature.ts';
import { commitTree } from '../src/ostree/commit.ts';
import { openRepository } from '../src/ostree/repository.ts';
import type { Replay } from '../src/replay.ts';
import { artifactOptions, publicKeyringName, readReplay, signaturesName } from '../src/replay.ts';
import type { TemporaryHost } from './helpers/host.ts';
import { errorOf, temporaryDirectory, temporaryHost } from './helpers/host.ts';
import { deployable, treeOf } from './helpers/trees.ts';
import { ref, repository } from './ostree/small-repository.ts';

/** A release's directory as it is published, without artifacts. */
function publish(
  host: TemporaryHost,
  keyring: string,
  commit: Commit,
  files: readonly string[] = [],
): string {
  const directory = temporaryDirectory();
  const { id, parent = null, version, timestamp } = commit;
  const artifacts = files.map((file) => ({ file, kind: 'tarball', bytes: 1, sha256: '' }));
  writeFileSync(
    join(directory, 'manifest.json'),
    JSON.stringify({ ref, commit: id, parent, version, timestamp, artifacts }),
  );
  writeFileSync(join(directory, 'lock.json'), '{}');
  cpSync(keyring, join(directory, publicKeyringName));
  cpSync(signaturesOf(host.workspace, id), join(directory, signaturesName));
  return directory;
}

/** Somebody else, with an empty repository and no key, commits this content as that release. */
async function commitAgain(replay: Replay, content: string) {
  const host = temporaryHost();
  await openRepository(host);
  const { publicKeyring, signatures } = replay;
  const keys = { home: '', environment: {}, fingerprints: [], publicKeyring, signatures };
  const tree = treeOf(deployable(join(host.workspace.temporary, 'tree'), content));
  return { host, commit: commitTree(host, { tree, head: undefined, keys, replay }) };
}

describe('a published release that somebody else builds again', () => {
  it('is the same commit, with the same signatures, though the one before it is not there', async () => {
    const { host, commit, keys } = await repository();
    const first = await commit('one');
    const second = await commit('two', first);
    const replay = await readReplay(publish(host, keys.publicKeyring, second));
    const again = await commitAgain(replay, 'two');
    expect(await again.commit).toEqual({ ...second, parent: first.id });
    const [ours, theirs] = [host, again.host].map(({ workspace }) =>
      readFileSync(signaturesOf(workspace, second.id)),
    );
    expect(theirs!.equals(ours!)).toBe(true);
    const shown = execFileSync(
      'ostree',
      [`--repo=${again.host.workspace.repository}`, 'show', `--gpg-homedir=${keys.home}`, second.id],
      { encoding: 'utf8' },
    );
    expect(shown).toContain('Good signature');
  });

  it('is refused where another tree came out', async () => {
    const { host, commit, keys } = await repository();
    const made = await commit('one');
    const replay = await readReplay(publish(host, keys.publicKeyring, made));
    const error = await errorOf((await commitAgain(replay, 'another one')).commit);
    expect(error.code).toBe('difference');
    expect(error.message).toMatch(
      new RegExp(`^Cannot build ${ref} ${made.version} again: commit \\w{64} came out, and not ${made.id}$`),
    );
    expect(error.hint).toContain('SOURCE_DATE_EPOCH');
  });

  it('has the kinds of artifacts that it was published with', async () => {
    const { host, commit, keys } = await repository();
    const made = await commit('one');
    const options = async (...files: string[]) =>
      artifactOptions(await readReplay(publish(host, keys.publicKeyring, made, files)));
    expect(await options('a.img')).toEqual({ flat: false, qcow2: false });
    expect(await options('a.img', 'a.qcow2')).toEqual({ flat: false, qcow2: true });
    expect(await options('a.tar.zst', 'a-flat.tar.zst')).toEqual({ flat: true, qcow2: false });
  });

  it.each(['manifest.json', 'lock.json', publicKeyringName, signaturesName])(
    'is refused without its %s',
    async (name) => {
      const { host, commit, keys } = await repository();
      const directory = publish(host, keys.publicKeyring, await commit('one'));
      rmSync(join(directory, name));
      const error = await errorOf(readReplay(directory));
      expect(error).toMatchObject({ code: 'usage', message: expect.stringContaining(name) });
    },
  );

  it.each([
    ['is no JSON', '{'],
    ['leads out of the output directory', '{"ref": "treeline/../../x", "commit": ""}'],
    ['lacks something', '{}'],
  ])('is refused where its manifest %s', async (_, text) => {
    const directory = temporaryDirectory();
    for (const name of ['lock.json', publicKeyringName, signaturesName])
      writeFileSync(join(directory, name), '');
    writeFileSync(join(directory, 'manifest.json'), text);
    const error = await errorOf(readReplay(directory));
    expect(error.message).toBe(`Cannot build ${directory} again: its manifest.json is damaged`);
  });

  it('is refused where there is nothing', async () => {
    const directory = join(temporaryDirectory(), 'nothing');
    mkdirSync(directory);
    const error = await errorOf(readReplay(directory));
    expect(error.hint).toContain('out/debian-12');
  });
});
