import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { commitTree, moveRef } from '../../src/ostree/commit.ts';
import { openRepository } from '../../src/ostree/repository.ts';
import { closeSigningKeys, openSigningKeys } from '../../src/ostree/signing.ts';
import { fillArchive, openArchive } from '../../src/release/archive-repository.ts';
import { temporaryDirectory, temporaryHost } from '../helpers/host.ts';
import { deployable, treeOf } from '../helpers/trees.ts';

it('a workspace that built nothing has no archive', async () => {
  const host = temporaryHost();
  expect(await openArchive(host)).toBeUndefined();
  expect(existsSync(join(host.workspace.state, 'archive'))).toBe(false);
});

it('clients pull the published refs from the archive, signatures checked, and nothing else', async () => {
  const host = temporaryHost();
  await openRepository(host);
  const keys = await openSigningKeys(host);
  onTestFinished(() => closeSigningKeys(host, keys));
  const tree = treeOf(deployable(join(host.workspace.temporary, 'one')));
  const commit = await commitTree(host, { tree, head: undefined, keys });
  await moveRef(host, commit);
  const ostree = (repository: string, ...args: string[]): string =>
    execFileSync('ostree', [`--repo=${repository}`, ...args], { encoding: 'utf8', stdio: 'pipe' });
  ostree(host.workspace.repository, 'refs', '--create=cache/package/x', commit.id);

  const archive = (await openArchive(host))!;
  await fillArchive(host, archive);
  await fillArchive(host, archive);
  expect(ostree(archive, 'config', 'get', 'core.mode').trim()).toMatch(/^archive/);
  expect(ostree(archive, 'refs').trim()).toBe(commit.ref);
  expect(existsSync(join(archive, 'summary'))).toBe(true);

  const client = join(temporaryDirectory(), 'client');
  mkdirSync(client);
  ostree(client, 'init', '--mode=bare-user');
  ostree(client, 'remote', 'add', 'treeline', `file://${archive}`, `--gpg-import=${keys.publicKeyring}`);
  ostree(client, 'pull', 'treeline', commit.ref);
  expect(ostree(client, 'rev-parse', `treeline:${commit.ref}`).trim()).toBe(commit.id);
  ostree(client, 'checkout', '--user-mode', commit.id, join(client, 'out'));
  expect(readFileSync(join(client, 'out/usr/share/content'), 'utf8')).toBe('one');
});
