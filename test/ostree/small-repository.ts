import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, lstatSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, onTestFinished } from 'vitest';
import type { Commit, Tree } from '../../src/model.ts';
import { commitTree } from '../../src/ostree/commit.ts';
import { openRepository } from '../../src/ostree/repository.ts';
import { closeSigningKeys, openSigningKeys } from '../../src/ostree/signing.ts';
import type { TemporaryHost } from '../helpers/host.ts';
import { temporaryHost } from '../helpers/host.ts';
import { deployable, treeOf } from '../helpers/trees.ts';

export const ref = 'treeline/debian-12/x86_64/vm';

/** A workspace with a repository and a key, and a way to commit trees that differ by one file. */
export async function repository(root?: string) {
  const host = temporaryHost(root);
  await openRepository(host);
  await withSharedKey(host);
  const keys = await openSigningKeys(host);
  onTestFinished(() => closeSigningKeys(host, keys));
  let count = 0;
  const tree = (content: string, parts: Partial<Tree> = {}): Tree =>
    treeOf(deployable(join(host.workspace.temporary, `tree-${(count += 1)}`), content), parts);
  const commit = async (content: string, head?: Commit): Promise<Commit> =>
    commitTree(host, { tree: tree(content), head, keys });
  return { host, keys, tree, commit, fsck: () => ostree(host, 'fsck', '--quiet') };
}

let sharedKey: string | undefined;

/** Making a key takes most of a test's time, so that those which are not about it share one. */
export async function withSharedKey(host: TemporaryHost): Promise<void> {
  if (sharedKey === undefined) {
    sharedKey = mkdtempSync(join(tmpdir(), 'tl-key-'));
    await closeSigningKeys(host, await openSigningKeys(host));
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

/** What ostree prints about the workspace's repository. */
export const ostree = (host: TemporaryHost, ...args: string[]): string =>
  execFileSync('ostree', [`--repo=${host.workspace.repository}`, ...args], {
    encoding: 'utf8',
    stdio: 'pipe',
  });
