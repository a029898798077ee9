import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Commit } from '../../src/model.ts';
import { formatCommitMeta, signaturesOf } from '../../src/ostree/commit-signature.ts';
import { commitTree } from '../../src/ostree/commit.ts';
import { makeDelta } from '../../src/ostree/delta.ts';
import { proveDelta } from '../../src/ostree/prove-delta.ts';
import type { TemporaryHost } from '../helpers/host.ts';
import { errorOf } from '../helpers/host.ts';
import { addBusybox } from '../helpers/trees.ts';
import { repository } from './small-repository.ts';

describe('a delta', () => {
  async function deltaBetween(fromNothing = false) {
    const made = await repository();
    const first = await made.commit('one'.repeat(1000));
    const second = await made.commit('two'.repeat(1000), first);
    const path = join(made.host.workspace.temporary, 'x.delta');
    const delta = await makeDelta(made.host, { from: fromNothing ? undefined : first, to: second, path });
    const prove = (changed: Partial<typeof delta> = {}) =>
      proveDelta(made.host, { ...delta, ...changed }, made.host.workspace.temporary);
    return { ...made, first, second, path, delta, prove };
  }

  it.each([false, true])('that is good passes (from nothing: %s)', async (fromNothing) => {
    const { delta, prove, path, host, fsck, first, second } = await deltaBetween(fromNothing);
    expect(delta).toMatchObject({
      from: fromNothing ? undefined : first,
      to: second,
      bytes: statSync(path).size,
    });
    const proven = await prove();
    expect(proven).toMatchObject(delta);
    // The commit, two directories or more, and a file of one block.
    expect(proven.unpackedBytes).toBeGreaterThanOrEqual(4 * 4096);
    expect(proven.unpackedBytes % 4096).toBe(0);
    expect(proven.memory).toBe(13 << 20);
    expect(readdirSync(host.workspace.temporary).filter((name) => name.startsWith('prove'))).toEqual([]);
    fsck();
  });

  it('that does not carry the signatures that the commit has now is refused', async () => {
    const { host, prove, second } = await deltaBetween();
    await prove();
    writeFileSync(signaturesOf(host.workspace, second.id), formatCommitMeta([Buffer.from('another')]));
    const error = await errorOf(prove());
    expect(error.code).toBe('update');
    expect(error.output).toContain('The signatures that arrived are not those that were made');
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
    await makeDelta(host, { from: first, to: second, path });
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
    expect((await errorOf(prove({ to: third }))).code).toBe('update');
    expect((await errorOf(prove({ from: undefined }))).code).toBe('update');
    expect((await prove({ from: first })).from).toBe(first);
  });

  it('leaves the scratch directory empty, and gives the same each time', async () => {
    const { prove, host } = await deltaBetween();
    const [one, other] = [await prove(), await prove()];
    expect(other).toEqual(one);
    expect(readdirSync(host.workspace.temporary).filter((name) => name.startsWith('prove'))).toEqual([]);
  });
});

describe('a delta is proved with the ostree of the old tree', () => {
  /** A tree that has an ostree program; `program`: text of a script instead of this machine's own. */
  async function withOstree(program?: string) {
    const made = await repository();
    const commitWith = (content: string, head?: Commit): Promise<Commit> => {
      const directory = join(made.host.workspace.temporary, `with-${content}`);
      const tree = made.tree(content);
      cpSync(tree.directory, directory, { recursive: true, verbatimSymlinks: true });
      if (program === undefined) copyProgram('/usr/bin/ostree', directory);
      else addScript(directory, program);
      return commitTree(made.host, { tree: { ...tree, directory }, head, keys: made.keys });
    };
    const first = await commitWith('one');
    const second = await commitWith('two', first);
    const prove = async (from: Commit | undefined) => {
      const path = join(made.host.workspace.temporary, 'x.delta');
      const delta = await makeDelta(made.host, { from, to: second, path });
      return proveDelta(made.host, delta, made.host.workspace.temporary);
    };
    return { ...made, first, second, prove };
  }

  const logOf = ({ host }: { host: TemporaryHost }): string => readFileSync(host.log.path, 'utf8');

  it('in a sandbox', async () => {
    const made = await withOstree();
    const proven = await made.prove(made.first);
    expect(proven.to).toBe(made.second);
    expect(logOf(made).match(/ bwrap .* apply-offline/g)).toHaveLength(1);
    expect(logOf(made)).not.toMatch(/ostree --repo=\S+ static-delta apply-offline (?!\/delta)/);
    made.fsck();
  });

  it.each([false, true])(
    'and is refused where that one cannot apply it, though this machine’s could (from nothing, with the new one’s: %s)',
    async (fromNothing) => {
      const made = await withOstree('#!/bin/sh\necho too old for this >&2\nexit 1\n');
      const error = await errorOf(made.prove(fromNothing ? undefined : made.first));
      expect(error.code).toBe('update');
      expect(error.output).toContain('too old for this');
    },
  );

  it('and is refused where that one says it is done, and is not', async () => {
    const made = await withOstree('#!/bin/sh\nexit 0\n');
    expect((await errorOf(made.prove(made.first))).code).toBe('update');
  });

  it('that can write nothing but the scratch repository', async () => {
    const made = await withOstree(
      '#!/bin/sh\nfor file in /usr/x /usr/bin/ostree /delta; do echo x >"$file" && exit 0; done\necho nothing else is writable >&2\nexit 1\n',
    );
    const error = await errorOf(made.prove(made.first));
    expect(error.output).toContain('nothing else is writable');
    made.fsck();
  });

  it('and with this machine’s where the tree has none, which the log says', async () => {
    const { commit, keys, ...made } = await repository();
    const first = await commit('one');
    const second = await commit('two', first);
    const path = join(made.host.workspace.temporary, 'x.delta');
    const delta = await makeDelta(made.host, { from: first, to: second, path });
    await proveDelta(made.host, delta, made.host.workspace.temporary);
    expect(logOf(made)).toContain(`${first.version} has no ostree`);
    expect(keys.fingerprints).toHaveLength(1);
  });
});

/** A program of this machine with all it needs to run, at the same places in a tree. */
function copyProgram(program: string, root: string): void {
  const needed = execFileSync('ldd', [program], { encoding: 'utf8' }).matchAll(/(\/\S+) \(0x/g);
  for (const path of [program, ...[...needed].map(([, library]) => library!)]) {
    const place = join(root, path.startsWith('/usr') ? path : `/usr${path}`);
    mkdirSync(dirname(place), { recursive: true });
    cpSync(path, place, { dereference: true });
  }
}

function addScript(root: string, text: string): void {
  addBusybox(root);
  writeFileSync(join(root, 'usr/bin/ostree'), text);
  chmodSync(join(root, 'usr/bin/ostree'), 0o755);
}
