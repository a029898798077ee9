import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findMissing } from '../../src/host/tools.ts';
import { smallTree, warmUp } from '../badluck/workspaces.ts';
import { lacks } from '../helpers/needs.ts';
import { runScript } from './program.ts';

const programs = [...findMissing(['build', 'vm', 'container']).names, 'faketime', 'taskset', 'qemu-img'];
const reason = lacks({ programs, root: true });

describe.skipIf(reason !== undefined)(
  `npm run reproduce${reason === undefined ? '' : ` (skipped: ${reason})`}`,
  () => {
    let directory: string;
    let here: string;
    let elsewhere: string;

    beforeAll(async () => {
      // A small tree and a kernel that is none: the whole ones are built again in reproduce.boot.
      await warmUp();
      directory = await mkdtemp(join(tmpdir(), 'treeline-reproduce-'));
      const scratch = join(directory, '.treeline/reproduce');
      here = join(scratch, 'here/out');
      elsewhere = join(scratch, 'some where else/much deeper/than the other one/exchange/out');
    });
    afterAll(() => rm(directory, { recursive: true, force: true }));

    it('finds a disk image and a container the same, built at another time and place from other caches', async () => {
      const { stdout, stderr, exitCode } = await runScript('reproduce', [
        ...['--workspace', directory, '--target', 'vm', '--target', 'lxc', '--update', 'none'],
        ...['--base', 'debian', ...smallTree, '--keep'],
      ]);
      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
      const varied = /Other elsewhere: (.*)/.exec(stdout)![1]!.split(', ');
      expect(varied).toEqual([
        // Without loop devices, as in some containers, it is said that this is the same.
        ...(stdout.includes('Not another one elsewhere: directory order') ? [] : ['directory order']),
        ...['date', 'time zone', 'locale', 'umask', 'host name', 'path', 'home'],
        ...(stdout.includes('Not another one elsewhere: processors') ? [] : ['processors']),
        'state of the caches',
      ]);
      expect(stdout).toContain('Both builds are the same, bit for bit');
      for (const target of ['vm', 'lxc'])
        expect(stdout).toMatch(new RegExp(`treeline/debian-12/x86_64/${target} \\S+ +[0-9a-f]{64}`));
      const files = async (path: string): Promise<string[]> =>
        (await execa('find', ['.', '-type', 'f', '-printf', '%P\n'], { cwd: path })).stdout
          .split('\n')
          .toSorted();
      const compared = await files(here);
      expect(await files(elsewhere)).toEqual(compared);
      const ends = [
        '.img',
        '.qcow2',
        '.squashfs',
        '.tar.zst',
        '.tar.xz',
        '.sha256',
        'manifest.json',
        'lock.json',
      ];
      expect(ends.filter((end) => !compared.some((path) => path.endsWith(end)))).toEqual([]);
    }, 600_000);

    it('builds a published release again in a workspace with other keys', async () => {
      const other = join(directory, 'other');
      await mkdir(join(other, '.treeline'), { recursive: true });
      // What was downloaded need not be so again.
      await cp(join(here, '../.treeline/cache'), join(other, '.treeline/cache'), { recursive: true });
      const published = join(here, 'debian-12/x86_64/lxc/latest');
      const { stdout, stderr, exitCode } = await runScript('reproduce', [
        ...['--workspace', other, '--against', published, ...smallTree],
      ]);
      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
      expect(stdout).toContain('the same, bit for bit');
      expect(existsSync(join(other, '.treeline/reproduce'))).toBe(false);
    }, 600_000);

    it('takes no release for one of another target', async () => {
      const published = join(here, 'debian-12/x86_64/lxc/latest');
      const options = ['--workspace', join(here, '..'), '--replay', published, ...smallTree, '--offline'];
      const { stderr, exitCode } = await runScript('build-vm', options);
      expect(exitCode).toBe(2);
      expect(stderr).toContain('it is treeline/debian-12/x86_64/lxc, and not treeline/debian-12/x86_64/vm');
    });
  },
);
