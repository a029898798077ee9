// oxlint-disable vitest/expect-expect -- expectRefusal, expectGoodBuild and their kin assert.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { checkout, expectRefusal, expectSuccess, runProgram } from './program.ts';
import {
  checkRepository,
  filledWorkspace,
  refPrefix,
  fileDirectory,
  smallTree,
  stateOf,
  temporaryDirectory,
  undisturbedCommit,
  warmUp,
} from './workspaces.ts';

const standard = readFileSync(join(checkout, 'layouts/vm.cfg'), 'utf8');
const workspace = fileDirectory();
beforeAll(async () => {
  await warmUp('vm');
  filledWorkspace(workspace, 'vm');
});

function layout(text: string): string {
  const path = join(temporaryDirectory(), 'mine.cfg');
  writeFileSync(path, text);
  return path;
}

const buildWith = (path: string) =>
  runProgram('build-vm', ['--workspace', workspace, ...smallTree, '--layout', path]);

const withSize = (name: string, mebibytes: number, text = standard): string =>
  text.replace(new RegExp(`(name=${name}, size=)\\d+`), `$1${mebibytes}`);

it.each([
  { what: 'a file that is not there', text: undefined, says: 'there is no such file', hint: 'layouts/' },
  { what: 'no partitions at all', text: 'label: gpt\n', says: 'no partitions', hint: 'layouts/vm.cfg' },
  {
    what: 'no rootfs',
    text: standard.replace(/^name=rootfs.*$/m, ''),
    says: 'no rootfs partition',
    hint: 'name=rootfs',
  },
  {
    what: 'no boot',
    text: standard.replace(/^name=boot.*$/m, ''),
    says: 'no boot partition',
    hint: 'name=boot',
  },
  {
    what: 'partitions that overlap',
    text: standard.replace('name=boot,', 'name=boot, start=2048,'),
    says: 'overlaps',
    hint: 'start=',
  },
  {
    what: 'a type that sfdisk does not know',
    text: standard.replace('name=swap, size=40MiB, type=S', 'name=swap, size=40MiB, type=nonsense'),
    says: '#4',
    hint: 'sfdisk',
  },
  {
    what: 'a word that is none of sfdisk’s',
    text: standard.replace('size=40MiB', 'sise=40MiB'),
    says: 'sise',
    hint: 'size',
  },
  {
    what: 'a size that is none',
    text: standard.replace('size=40MiB', 'size=lots'),
    says: 'lots',
    hint: 'size',
  },
  {
    what: 'a label that is none',
    text: standard.replace('label: gpt', 'label: gtp'),
    says: 'gtp',
    hint: 'gpt',
  },
  { what: 'something that is no text', text: '\u0000\u0001\u0002', says: 'mine.cfg', hint: '' },
])('a layout with $what is refused before anything is built', async ({ text, says, hint }) => {
  const path = text === undefined ? '/nowhere.cfg' : layout(text);
  expectRefusal(await buildWith(path), { exitCode: 1, says: [path, says], hint: [hint] });
  expect(stateOf(workspace)).toEqual({ refs: {}, output: [], unfinished: [] });
});

it('partitions that are too small are refused with sizes, and those sizes do', async () => {
  const small = withSize('boot', 20, withSize('rootfs', 20));
  const path = layout(small);
  const refused = await buildWith(path);
  const [boot, root] = ['boot', 'rootfs'].map((name) =>
    Number(new RegExp(`size=(\\d+)MiB for ${name}`).exec(refused.stderr)?.[1]),
  );
  expectRefusal(refused, {
    exitCode: 1,
    says: [`${path}:11`, '3 deployments', '2 commits'],
    hint: [`size=${boot}MiB for boot`, `size=${root}MiB for rootfs`],
  });
  expect(stateOf(workspace)).toEqual({ refs: {}, output: [], unfinished: [] });

  const oneLess = await buildWith(layout(withSize('boot', boot! - 1, withSize('rootfs', root!, small))));
  expectRefusal(oneLess, { exitCode: 1, says: ['boot is too small'], hint: [`size=${boot}MiB for boot`] });

  const ended = await buildWith(layout(withSize('boot', boot!, withSize('rootfs', root!, small))));
  expectSuccess(ended);
  const state = stateOf(workspace);
  checkRepository(workspace);
  expect(state.refs).toEqual({ [`${refPrefix}/vm`]: undisturbedCommit('vm') });
  expect(state.output.filter((name) => name.endsWith('.img') && !name.includes('/latest/'))).toHaveLength(1);
});
