import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { formatCommitMeta, signCommit } from '../../src/ostree/commit-signature.ts';
import { listSecretKeys } from '../../src/ostree/gpg.ts';
import type { TemporaryHost } from '../helpers/host.ts';
import { ostree, repository } from './small-repository.ts';

const metaFile = (host: TemporaryHost, id: string): string =>
  join(host.workspace.repository, 'objects', id.slice(0, 2), `${id.slice(2)}.commitmeta`);

const madeAt = (host: TemporaryHost, id: string): number => {
  const date = /Signature made (.+) using/.exec(ostree(host, 'show', id))![1]!;
  return Date.parse(date) / 1000;
};

describe('a commit’s signature', () => {
  it('is one that ostree takes for good', async () => {
    const { host, commit, keys } = await repository();
    const { id } = await commit('one');
    expect(ostree(host, 'show', `--gpg-homedir=${keys.home}`, id)).toContain('Good signature');
  });

  it('is the same whenever it is made: it tells the time of the key where that is the later one', async () => {
    const { host, commit, keys } = await repository();
    const made = await commit('one');
    const [key] = await listSecretKeys(host, keys);
    expect(made.timestamp).toBeLessThan(key!.created);
    expect(madeAt(host, made.id)).toBe(key!.created);
    const before = readFileSync(metaFile(host, made.id));
    rmSync(metaFile(host, made.id));
    await signCommit(host, made, keys);
    expect(readFileSync(metaFile(host, made.id)).equals(before)).toBe(true);
  });

  it('tells the time of the commit where that is later than the key’s', async () => {
    const { host, commit, keys } = await repository();
    const made = await commit('one');
    const [key] = await listSecretKeys(host, keys);
    const timestamp = key!.created + 1;
    // A second after the key was made may not have come yet.
    while (Date.now() / 1000 <= timestamp) await new Promise((resolve) => setTimeout(resolve, 100));
    await signCommit(host, { id: made.id, timestamp }, keys);
    expect(madeAt(host, made.id)).toBe(timestamp);
  });

  it('is made now where the commit is of the future', async () => {
    const { host, commit, keys } = await repository();
    const made = await commit('one');
    const before = Math.floor(Date.now() / 1000);
    await signCommit(host, { id: made.id, timestamp: before + 1_000_000 }, keys);
    expect(madeAt(host, made.id)).toBeGreaterThanOrEqual(before);
    expect(ostree(host, 'show', `--gpg-homedir=${keys.home}`, made.id)).toContain('Good signature');
  });

  it.each([
    ['one', [119]],
    ['two', [119, 119]],
    ['those of long keys', [600, 70_000, 1]],
  ])('is read back by ostree as it was written: %s', async (_, lengths) => {
    const { host, commit } = await repository();
    const { id } = await commit('one');
    const signatures = lengths.map((length, index) => Buffer.alloc(length, index + 1));
    writeFileSync(metaFile(host, id), formatCommitMeta(signatures));
    const shown = ostree(host, 'show', '--print-detached-metadata-key=ostree.gpgsigs', id);
    const expected = signatures.map((bytes) => [...bytes].map((byte) => `0x0${byte}`).join(', '));
    expect(shown.replace('[byte ', '[').trim()).toBe(`[${expected.map((bytes) => `[${bytes}]`).join(', ')}]`);
  });

  it('is as long as the one that ostree writes itself, byte for byte around it', async () => {
    const { host, commit, keys } = await repository();
    const { id } = await commit('one');
    const ours = readFileSync(metaFile(host, id));
    rmSync(metaFile(host, id));
    ostree(host, 'gpg-sign', `--gpg-homedir=${keys.home}`, id, keys.fingerprints[0]!);
    const theirs = readFileSync(metaFile(host, id));
    const signature = theirs.subarray(16, theirs.length - 7);
    expect(formatCommitMeta([signature]).equals(theirs)).toBe(true);
    expect(ours).toHaveLength(theirs.length);
  });
});
