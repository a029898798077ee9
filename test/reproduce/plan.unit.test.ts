import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseArguments } from '../../src/cli/arguments.ts';
import { readBuildOptions } from '../../src/cli/build-options.ts';
import { chooseUpdate, readReproduceOptions, requireSame } from '../../src/cli/reproduce.ts';
import { TreelineError } from '../../src/host/errors.ts';
import { openWorkspace } from '../../src/host/workspace.ts';
import { buildArguments } from '../../src/reproduce/build-arguments.ts';
import { findPartition } from '../../src/reproduce/locate.ts';
import { compareFacts } from '../../src/reproduce/probe.ts';
import { errorOf, temporaryDirectory } from '../helpers/host.ts';

const home = join(import.meta.dirname, '../..');

const sources = (line: string) => ({
  args: parseArguments(line.split(' '), {}),
  settings: {},
  workspace: openWorkspace(temporaryDirectory()),
  home,
  environment: {},
});

describe('what is reproduced', () => {
  it('is every target, and the update of a container', async () => {
    const { requests, update, keep } = await readReproduceOptions(sources('reproduce --no-ssh-key --keep'));
    expect(requests.map(({ request }) => request.target)).toEqual(['vm', 'ovz', 'lxc']);
    expect(update).toBe('ovz');
    expect(keep).toBe(true);
  });

  it('is what is named', async () => {
    const line = 'reproduce --no-ssh-key --target vm --base alpine-v3.19 --update none';
    const { requests, update, keep } = await readReproduceOptions(sources(line));
    expect(requests.map(({ request }) => `${request.base} ${request.target}`)).toEqual(['alpine-v3.19 vm']);
    expect(update).toBeUndefined();
    expect(keep).toBe(false);
  });

  it.each([
    [undefined, ['vm'], 'vm'],
    [undefined, ['vm', 'lxc'], 'lxc'],
    ['vm', ['vm', 'lxc'], 'vm'],
    ['none', ['vm', 'lxc'], undefined],
  ] as const)('has, with --update %s of %j, the update of %s', (named, built, expected) => {
    expect(chooseUpdate(named, built)).toBe(expected);
  });

  it('cannot be the update of what is not built', async () => {
    const error = await errorOf(readReproduceOptions(sources('reproduce --target vm --update lxc')));
    expect(error).toMatchObject({
      code: 'usage',
      message: 'Cannot make an update for lxc: that target is not built',
    });
  });
});

describe('the options of both builds', () => {
  it.each([
    '--no-ssh-key',
    '--no-ssh-key --service sshd- --service web --overlay /a --overlay /b --flat',
    '--no-ssh-key --base debian --arch aarch64 --mirror https://mirror.example.org/debian --refresh',
    `--no-ssh-key --overlays /o --layout ${home}/layouts/pine.cfg --update-url https://updates.example.org/x`,
    `--ssh-key ${home}/package.json --ssh-key ${home}/LICENSE --lock ${home}/package-lock.json --offline`,
  ])('give the very same build when they are read again: %s', async (line) => {
    const [read] = await readBuildOptions(sources(`build --target vm ${line}`));
    const again = ['build', '--target=vm', ...buildArguments(read!, undefined)].join(' ');
    const [reread] = await readBuildOptions(sources(again));
    expect({ ...reread, asked: {}, baseReason: '' }).toEqual({ ...read, asked: {}, baseReason: '' });
  });

  it('name the keys that sign', async () => {
    const [read] = await readBuildOptions(sources('build --target vm --no-ssh-key'));
    const args = buildArguments(read!, { home: '/gnupg', names: ['ABC', 'release@example.org'] });
    expect(args.slice(-2)).toEqual(['--sign-key=ABC', '--sign-key=release@example.org']);
  });
});

describe('what is told', () => {
  it('tells apart what is another one elsewhere and what is not', () => {
    const here = { date: '2026-01-01', user: '0', umask: '0022' };
    expect(compareFacts(here, { date: '2030-01-01', user: '0', umask: '0077' })).toEqual({
      varied: ['date', 'umask'],
      same: ['user'],
    });
  });

  it('counts what elsewhere does not say as another one only where it is one', () => {
    expect(compareFacts({ date: 'x' }, {}).same).toEqual([]);
  });

  const partition = (name: string, start: number, size: number) =>
    ({ name, role: 'other', start, size, filesystem: 'none', uuid: '' }) as const;

  it.each([
    [0, undefined],
    [1024, 'esp'],
    [2047, 'esp'],
    [2048, 'rootfs'],
    [4096, undefined],
  ])('finds the partition that holds byte %i', (offset, name) => {
    const partitions = [partition('esp', 1024, 1024), partition('rootfs', 2048, 2048)];
    expect(findPartition(partitions, offset)?.name).toBe(name);
  });

  it('names every file that is not the same, where, and who says more', () => {
    const result = {
      files: 9,
      bytes: 1,
      releases: [],
      kept: ['/a', '/b'],
      differences: [
        {
          path: 'disk.img',
          what: 'other bytes from 7 on',
          offset: 7,
          where: 'partition rootfs at 1',
          report: '/r',
        },
        { path: 'disk.img', what: 'mode 0644 here, 0600 elsewhere' },
      ],
    };
    const told = (): void => requireSame(result);
    expect(told).toThrow(TreelineError);
    expect(told).toThrow('Cannot reproduce the build: 1 of 9 files are not the same');
    const error = (() => {
      try {
        told();
        return undefined;
      } catch (cause) {
        return cause as TreelineError;
      }
    })();
    expect(error).toMatchObject({ code: 'difference', hint: 'Both are kept: /a and /b' });
    expect(error!.output!.split('\n')).toEqual([
      'disk.img: other bytes from 7 on',
      '  in partition rootfs at 1',
      '  diffoscope: /r',
      'disk.img: mode 0644 here, 0600 elsewhere',
    ]);
    expect(() => requireSame({ ...result, differences: [] })).not.toThrow();
  });
});
