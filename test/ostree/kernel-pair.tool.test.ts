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
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Commit, Delta } from '../../src/model.ts';
import { commitTree } from '../../src/ostree/commit.ts';
import { makeDelta } from '../../src/ostree/delta.ts';
import { makeKernelPair } from '../../src/ostree/kernel-pair.ts';
import { makeProvenDeltas } from '../../src/update-deltas.ts';
import { library } from '../guest/busybox.ts';
import { bzImage, machineCode } from '../helpers/kernels.ts';
import { lacks } from '../helpers/needs.ts';
import { addBusybox } from '../helpers/trees.ts';
import { repository } from './small-repository.ts';

const missing = lacks({ programs: ['busybox', 'bwrap', 'lz4'], root: true });
const [oldKernel, newKernel] = [machineCode({ grown: false }), machineCode({ grown: true })];

/** What a test changes: files of both trees, the one kernel and the other, their names, and the old tree's programs. */
interface Change {
  kernels?: [Buffer, Buffer];
  programs?: Readonly<Record<string, string | undefined>>;
}

describe.skipIf(missing !== undefined)(
  `a pair of deltas for a new kernel${missing === undefined ? '' : ` (skipped: ${missing})`}`,
  () => {
    async function update({
      kernels = [bzImage(oldKernel), bzImage(newKernel)],
      programs = {},
    }: Change = {}) {
      const made = await repository();
      const commit = async (content: string, kernel: Buffer, head?: Commit): Promise<Commit> => {
        const tree = made.tree(content);
        const root = tree.directory;
        addGuest(root, programs);
        writeFileSync(join(root, 'usr/lib/modules/6.1.0/vmlinuz'), kernel);
        return commitTree(made.host, { tree, head, keys: made.keys });
      };
      const from = await commit('one', kernels[0]);
      const to = await commit('two', kernels[1], from);
      const scratch = made.host.workspace.temporary;
      const path = join(scratch, 'x.delta');
      // Not proved: that is not what this is about.
      const plain: Delta = { ...(await makeDelta(made.host, { from, to, path })), unpackedBytes: 0 };
      const log = (): string => readFileSync(made.host.log.path, 'utf8');
      return {
        ...made,
        from,
        to,
        plain,
        scratch,
        log,
        pair: () => makeKernelPair(made.host, plain, scratch),
      };
    }

    /** Applies the pair to a new repository as a machine does, without the publisher's code. */
    function apply({ from, to, host }: Awaited<ReturnType<typeof update>>, pair: NonNullable<Delta['pair']>) {
      const at = join(host.workspace.temporary, 'machine');
      mkdirSync(at);
      const run = (...args: string[]): string =>
        execFileSync('ostree', [`--repo=${join(at, 'repo')}`, ...args], { encoding: 'utf8', stdio: 'pipe' });
      run('init', '--mode=bare');
      run('pull-local', host.workspace.repository, from.id);
      const script = `state=${at} repository=${at}/repo; . ${library}/kernel.sh
        bring_kernel ${from.id} ${pair.kernel.from} ${pair.kernel.to} ${pair.rest.from} ${pair.kernel.path}`;
      execFileSync('busybox', ['sh', '-c', script], { stdio: 'pipe' });
      expect(existsSync(join(at, 'kernel'))).toBe(false);
      run('static-delta', 'apply-offline', pair.rest.path);
      run('refs', '--create=now', to.id);
      run('fsck', '--quiet');
      return execFileSync(
        'ostree',
        [`--repo=${join(at, 'repo')}`, 'cat', to.id, '/usr/lib/modules/6.1.0/vmlinuz'],
        {
          maxBuffer: 1 << 26,
        },
      );
    }

    it('takes a quarter fewer bytes at least, and gives the very kernel', async () => {
      const made = await update();
      const pair = (await made.pair())!;
      expect(pair.kernel.bytes + pair.rest.bytes).toBeLessThanOrEqual((made.plain.bytes * 3) / 4);
      expect(statSync(pair.kernel.path).size).toBe(pair.kernel.bytes);
      expect(statSync(pair.rest.path).size).toBe(pair.rest.bytes);
      expect(pair.memory).toBe(16 << 20);
      // Both kernels, packed and not.
      expect(pair.kernel.unpackedBytes).toBeGreaterThan(oldKernel.length + newKernel.length);
      expect(pair.rest.unpackedBytes).toBeGreaterThan(bzImage(newKernel).length);
      expect(apply(made, pair).equals(bzImage(newKernel))).toBe(true);
      expect(readdirSync(made.scratch).filter((name) => name.startsWith('kernel-'))).toEqual([]);
      made.fsck();
    });

    it('is the same when it is made again', async () => {
      const made = await update();
      const ids = ({ kernel, rest }: NonNullable<Delta['pair']>) => [kernel.from, kernel.to, rest.from];
      expect(ids((await made.pair())!)).toEqual(ids((await made.pair())!));
    });

    it('is kept with its delta, and made once', async () => {
      const { host, from, to, log } = await update();
      const make = () => makeProvenDeltas(host, [{ from, to }]);
      const [first] = await make();
      expect(first!.pair).toBeDefined();
      const generated = (): number => log().match(/static-delta generate/g)!.length;
      const before = generated();
      rmSync(host.workspace.output, { recursive: true });
      expect(await make()).toEqual([first]);
      expect(generated()).toBe(before);
      for (const { path, bytes } of [first!.pair!.kernel, first!.pair!.rest])
        expect(statSync(path).size).toBe(bytes);
      // Without all of its files it is no use.
      rmSync(first!.pair!.rest.path);
      const kept = join(host.workspace.cache, 'deltas');
      rmSync(
        join(
          kept,
          readdirSync(kept).find((name) => name.endsWith('-rest.delta'))!,
        ),
      );
      expect(await make()).toEqual([first]);
      expect(generated()).toBeGreaterThan(before);
    });

    const same = bzImage(oldKernel);
    const gzip = bzImage(newKernel, { payload: Buffer.from('1f8b08000000', 'hex') });
    const cut = bzImage(newKernel).subarray(0, 100_000);
    it.each<[string, Change, string]>([
      ['the kernel is the same', { kernels: [same, same] }, ''],
      ['there is none', { kernels: [Buffer.alloc(0), same] }, ''],
      [
        'the new kernel is packed in another way',
        { kernels: [same, gzip] },
        'not packed as the old tree packs',
      ],
      ['the old kernel is no kernel', { kernels: [Buffer.from('kernel'), same] }, 'not packed as'],
      ['the new kernel is cut off', { kernels: [same, cut] }, 'not packed as'],
      ['the old tree has no lz4', { programs: { 'usr/bin/lz4': undefined } }, 'has no bin/lz4'],
      [
        'the old tree has no such script',
        { programs: { 'usr/lib/treeline/kernel.sh': undefined } },
        'has no lib/treeline/kernel.sh',
      ],
      [
        'the old tree’s lz4 packs in another way',
        {
          programs: {
            'usr/bin/lz4':
              '#!/bin/sh\ncase $1 in -d) exec /usr/bin/lz4.real "$@" ;; *) exec /usr/bin/lz4.real -l -1 -c - ;; esac\n',
          },
        },
        'not packed as',
      ],
      ['little is gained', { kernels: [bzImage(oldKernel), bzImage(noise())] }, 'in place of'],
    ])('is not made where %s', async (_, change, said) => {
      const made = await update(change);
      expect(await made.pair()).toBeUndefined();
      expect(made.log()).toContain(said);
      expect(
        readdirSync(made.scratch).filter((name) => /^kernel-|-(kernel|rest)\.delta$/.test(name)),
      ).toEqual([]);
    });

    it('is not published where the old tree cannot put the kernel together in the end', async () => {
      // It takes kernels apart as it should, and says of its work what is not so.
      const script = readFileSync(join(library, 'kernel.sh'), 'utf8');
      const broken = `${script}\nbring_kernel() { return 1; }\n`;
      const made = await update({ programs: { 'usr/lib/treeline/kernel.sh': broken } });
      expect(await made.pair()).toBeUndefined();
      expect(made.log()).toMatch(/No kernel pair .*: Cannot/);
    });
  },
);

const noise = (): Buffer => {
  const bytes = Buffer.from(oldKernel);
  for (let at = 0; at < bytes.length; at += 1) bytes[at]! ^= (at * at * 7 + (at >> 3)) & 0xff;
  return bytes;
};

/** What of a machine's tree brings a kernel; `changed`: by path, other text instead, or undefined for none. */
function addGuest(root: string, changed: Readonly<Record<string, string | undefined>>): void {
  addBusybox(root);
  for (const name of [
    'awk',
    'cat',
    'chmod',
    'cmp',
    'dd',
    'head',
    'mkdir',
    'mv',
    'od',
    'rm',
    'stat',
    'tail',
    'tr',
  ])
    symlinkSync('busybox', join(root, 'usr/bin', name));
  copyProgram('/usr/bin/ostree', root, '/usr/bin/ostree');
  copyProgram('/usr/bin/lz4', root, '/usr/bin/lz4');
  copyProgram('/usr/bin/lz4', root, '/usr/bin/lz4.real');
  mkdirSync(join(root, 'usr/lib/treeline'), { recursive: true });
  cpSync(join(library, 'kernel.sh'), join(root, 'usr/lib/treeline/kernel.sh'));
  for (const [path, text] of Object.entries(changed)) {
    execFileSync('rm', [join(root, path)]);
    if (text === undefined) continue;
    writeFileSync(join(root, path), text);
    chmodSync(join(root, path), 0o755);
  }
}

/** A program of this machine with all it needs to run, in a tree. */
function copyProgram(program: string, root: string, place: string): void {
  const needed = execFileSync('ldd', [program], { encoding: 'utf8' }).matchAll(/(\/\S+) \(0x/g);
  const files = [[program, place], ...[...needed].map(([, file]) => [file!, file!])] as [string, string][];
  for (const [path, to] of files) {
    const target = join(root, to.startsWith('/usr') ? to : `/usr${to}`);
    mkdirSync(dirname(target), { recursive: true });
    cpSync(path, target, { dereference: true });
  }
}
