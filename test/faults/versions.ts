import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import type { Host } from '../../src/host/host.ts';
import { createHost } from '../../src/host/host.ts';
import { silentLog } from '../../src/host/log.ts';
import type { Workspace } from '../../src/host/workspace.ts';
import { openWorkspace } from '../../src/host/workspace.ts';
import type { Commit, Delta } from '../../src/model.ts';
import { moveRef, nextVersion, readHead } from '../../src/ostree/commit.ts';
import { makeDelta } from '../../src/ostree/delta.ts';
import { makeKernelPair } from '../../src/ostree/kernel-pair.ts';
import { openRepository, ostree } from '../../src/ostree/repository.ts';
import { spending } from '../helpers/spent.ts';
import type { SigningKeys } from '../../src/ostree/signing.ts';
import { signCommit } from '../../src/ostree/commit-signature.ts';
import { closeSigningKeys, openSigningKeys } from '../../src/ostree/signing.ts';
import { publishIndex } from '../../src/release/publish-index.ts';
import { deltaFileName, nextIndex, readIndex } from '../../src/release/update-index.ts';

/** A file or a symbolic link of a tree; `path` without a leading slash. */
export type TreeFile =
  { path: string; content: string | Uint8Array; executable?: boolean } | { path: string; linkTo: string };

/** Reads the version that a change starts from. */
export interface TreeReader {
  /** Throws where there is no such file. */
  read(path: string): Promise<Buffer>;
  /** The directory of kernel and initramfs: `usr/lib/modules/<kver>`; empty where a tree has none. */
  readonly kernelDirectory: string;
}

/** What a further version has that the one before had not. */
export type Change = (before: TreeReader) => Promise<TreeFile[]>;

/** Further versions of one ref, made in seconds: no packages, no image, only a commit, its delta and the index. */
export interface Versions {
  /** What a web server serves: it holds `updates/`. */
  readonly served: string;
  /** The newest one. */
  readonly head: Commit;
  /**
   * Commits a change to `from` (the head by default), and publishes it as the head, with the delta between the two;
   * `pair`: with a kernel's pair as well, and throws where there is none.
   */
  make(change: Change, options?: { from?: Commit; pair?: boolean }): Promise<Commit>;
  /** The delta file that leads from one commit to another. */
  deltaFile(from: Commit, to: Commit): string;
  /** Ends the key's agent and removes all. */
  remove(): Promise<void>;
}

/**
 * Goes on from the newest commit of `ref` in a built workspace, with its key. The workspace stays as it is: what is made
 * lies in `directory`, on the same file system, since the repository is shared by hard links.
 */
export async function furtherVersions(
  built: Workspace,
  ref: string,
  { directory, commit }: { directory: string; commit?: string },
): Promise<Versions> {
  const scratch = await mkdtemp(join(directory, 'versions-'));
  const workspace = openWorkspace(scratch);
  await mkdir(workspace.temporary, { recursive: true });
  await cp(built.keys, workspace.keys, { recursive: true, filter: (path) => !/\/S\.[^/]+$/.test(path) });
  const { signal } = new AbortController();
  const host = createHost({ workspace, log: silentLog, signal, listeners: [] });
  await openRepository(host);
  const start = commit ?? (await ostree(host, ['rev-parse', ref], { repository: built.repository }));
  await ostree(host, ['pull-local', built.repository, start]);
  await ostree(host, ['refs', `--create=${ref}`, start]);
  const keys = await openSigningKeys(host);
  let head = (await readHead(host, ref))!;
  const make = async (
    change: Change,
    { from = head, pair: wanted = false }: { from?: Commit; pair?: boolean } = {},
  ): Promise<Commit> => {
    const { to, changed } = await commitChange(host, { change, from, head, keys });
    const path = join(workspace.temporary, deltaFileName(ref, from.id, to.id));
    // Not proved: that would take longer than all the rest. So what it needs is guessed.
    const needs: Pick<Delta, 'memory' | 'unpackedBytes'> = { memory: 32 << 20, unpackedBytes: changed };
    const plain: Delta = { ...(await makeDelta(host, { from, to, path })), ...needs };
    const pair = wanted ? await makeKernelPair(host, plain, workspace.temporary) : undefined;
    if (wanted && pair === undefined) throw new Error('there is no kernel pair');
    const delta: Delta = { ...plain, pair };
    await moveRef(host, to);
    const index = nextIndex(await readIndex(workspace), [{ commit: to, before: [from.id] }], [delta]);
    await publishIndex(host, { index, deltas: [delta], keys, validDays: 90 });
    head = to;
    return to;
  };
  return {
    served: workspace.output,
    get head() {
      return head;
    },
    make: (change, options) => spending('further versions', () => make(change, options)),
    deltaFile: (from, to) => join(workspace.output, 'updates', deltaFileName(ref, from.id, to.id)),
    async remove() {
      await closeSigningKeys(host, keys);
      await rm(scratch, { recursive: true, force: true });
    },
  };
}

async function commitChange(
  host: Host,
  { change, from, head, keys }: { change: Change; from: Commit; head: Commit; keys: SigningKeys },
): Promise<{ to: Commit; changed: number }> {
  const { ref } = head;
  const files = await change(await openTree(host, from));
  const layer = await mkdtemp(join(host.workspace.temporary, 'change-'));
  for (const file of files) await writeInto(layer, file);
  const timestamp = head.timestamp + 1;
  const version = nextVersion(timestamp, head.version);
  const id = await ostree(host, [
    ...['commit', '--orphan', `--bind-ref=${ref}`, `--parent=${from.id}`, `--timestamp=@${timestamp}`],
    ...[`--subject=${ref} ${version}`, `--add-metadata-string=version=${version}`],
    ...[`--tree=ref=${from.id}`, `--tree=dir=${layer}`],
  ]);
  await signCommit(host, { id, timestamp }, keys);
  await rm(layer, { recursive: true });
  const changed = files.reduce((sum, file) => sum + ('content' in file ? file.content.length : 0), 0);
  return { to: { ref, id, parent: from.id, version, timestamp }, changed };
}

async function writeInto(directory: string, file: TreeFile): Promise<void> {
  const path = join(directory, file.path);
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  if ('linkTo' in file) await symlink(file.linkTo, path);
  else await writeFile(path, file.content, { mode: file.executable === true ? 0o755 : 0o644 });
}

async function openTree(host: Host, { id }: Commit): Promise<TreeReader> {
  const { repository } = host.workspace;
  const modules = await ostree(host, ['ls', id, '/usr/lib/modules']);
  const kernelDirectory = /^d\S+ .* \/(usr\/lib\/modules\/\S+)$/m.exec(modules)?.[1] ?? '';
  return {
    kernelDirectory,
    async read(path) {
      const { stdout } = await execa('ostree', [`--repo=${repository}`, 'cat', id, path], {
        encoding: 'buffer',
        maxBuffer: 1 << 28,
      });
      return Buffer.from(stdout);
    },
  };
}
