// oxlint-disable vitest/expect-expect -- expectRefusal, expectGoodBuild and their kin assert.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { expectRefusal, expectSuccess, runProgram } from './program.ts';
import type { State } from './workspaces.ts';
import {
  builtWorkspace,
  checkRepository,
  fileDirectory,
  smallTree,
  stateOf,
  temporaryDirectory,
  warmUp,
} from './workspaces.ts';

beforeAll(() => warmUp());

const build = (options: readonly string[], env: Record<string, string> = {}) =>
  runProgram('build-lxc', options, { env });

describe('a command line that cannot be meant', () => {
  const cases: readonly { what: string; options: readonly string[]; says: string; hint: string }[] = [
    {
      what: 'an unknown option',
      options: ['--servise', 'web'],
      says: '--servise',
      hint: 'Did you mean --service?',
    },
    { what: 'an unknown short option', options: ['-x'], says: '-x', hint: '--base' },
    { what: 'a word without an option', options: ['web'], says: '"web"', hint: '--workspace' },
    {
      what: 'an option without its value',
      options: ['--base'],
      says: '--base: it needs a value (NAME)',
      hint: 'debian',
    },
    {
      what: 'an option in the place of a value',
      options: ['--base', '--quiet'],
      says: '--base: it needs a value',
      hint: 'debian',
    },
    {
      what: 'an empty value',
      options: ['--layout='],
      says: '--layout: it needs a value (FILE)',
      hint: 'partition table',
    },
    {
      what: 'a value for an option without',
      options: ['--offline=yes'],
      says: '--offline=yes',
      hint: '--offline',
    },
    {
      what: 'two values where one fits',
      options: ['--base', 'a', '--base', 'b'],
      says: '--base twice: a and b',
      hint: 'Leave one',
    },
    {
      what: 'contradicting options',
      options: ['--ssh-key', 'f', '--no-ssh-key'],
      says: '--no-ssh-key',
      hint: 'Leave one',
    },
    { what: 'an unknown target', options: ['--target', 'vn'], says: 'target vn', hint: 'Did you mean vm?' },
    {
      what: 'an unknown architecture',
      options: ['--arch', 'x86_46'],
      says: 'x86_46',
      hint: 'Did you mean x86_64?',
    },
    {
      what: 'another name of an architecture',
      options: ['--arch', 'amd64'],
      says: 'amd64',
      hint: 'Did you mean x86_64?',
    },
    {
      what: 'an unknown base',
      options: ['--base', 'debain'],
      says: 'base debain',
      hint: 'Did you mean debian?',
    },
    {
      what: 'an unknown release',
      options: ['--base', 'debian-13'],
      says: 'debian-13',
      hint: 'Did you mean debian-12?',
    },
    {
      what: 'an unknown service',
      options: ['--service', 'sshdd'],
      says: 'service sshdd',
      hint: 'Did you mean sshd?',
    },
    {
      what: 'an unknown service to leave out',
      options: ['--service', 'sshdd-'],
      says: 'service sshdd',
      hint: 'Did you mean sshd?',
    },
    { what: 'no release at all to keep', options: ['--keep', '0'], says: '--keep 0', hint: '--keep' },
    { what: 'a number that is none', options: ['--keep', 'many'], says: '--keep many', hint: '--keep' },
    {
      what: 'an update URL that is none',
      options: ['--update-url', 'ftp://x'],
      says: 'ftp://x',
      hint: 'https://',
    },
    {
      what: 'layers that are not there',
      options: ['--overlays', '/nowhere'],
      says: '/nowhere',
      hint: 'common/',
    },
    {
      what: 'an overlay that is not there',
      options: ['--overlay', '/nowhere'],
      says: '/nowhere: it does not exist',
      hint: 'packages.list',
    },
    {
      what: 'an ssh key that is not there',
      options: ['--ssh-key', '/nowhere.pub'],
      says: '/nowhere.pub: there is no such file',
      hint: 'ssh-keygen',
    },
    {
      what: 'a directory as ssh key',
      options: ['--ssh-key', '/etc'],
      says: '--ssh-key /etc: it is a directory',
      hint: 'FILE',
    },
    {
      what: 'a directory as layout',
      options: ['--layout', '/etc'],
      says: '--layout /etc: it is a directory',
      hint: 'FILE',
    },
  ];
  const workspace = fileDirectory();
  let before: State;
  beforeAll(() => {
    // Not one of them may change what was built before, so one workspace does for all.
    builtWorkspace(workspace);
    before = stateOf(workspace);
  });

  it.each(cases)('is refused: $what', async ({ options, says, hint }) => {
    const ended = await build(['--workspace', workspace, ...options]);
    expectRefusal(ended, { exitCode: 2, says: [says], hint: [hint] });
    expect(ended.stderr).not.toContain('log: ');
  });

  it('is refused: an unknown command', async () => {
    const ended = await runProgram('../test/badluck/command', ['biuld']);
    expectRefusal(ended, { exitCode: 2, says: ['biuld'], hint: ['Did you mean build?'] });
  });

  it.each(['rubbish', '-1', '1e9'])('is refused: SOURCE_DATE_EPOCH=%s', async (value) => {
    const ended = await build(['--workspace', workspace], { SOURCE_DATE_EPOCH: value });
    expectRefusal(ended, { exitCode: 2, says: [`SOURCE_DATE_EPOCH=${value}`], hint: ['date +%s'] });
  });

  it('is refused: an option that npm took for itself', async () => {
    const ended = await build(['web'], { npm_config_service: 'true', npm_lifecycle_event: 'build:lxc' });
    expectRefusal(ended, {
      exitCode: 2,
      says: ['--service', 'npm'],
      hint: ['npm run build:lxc -- --service'],
    });
  });

  it('is refused: a private ssh key, which is not shown', async () => {
    const directory = temporaryDirectory();
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(directory, 'key')]);
    const ended = await build(['--workspace', workspace, '--ssh-key', join(directory, 'key')]);
    expectRefusal(ended, {
      exitCode: 2,
      says: ['private key'],
      hint: [`--ssh-key ${join(directory, 'key.pub')}`],
    });
    expect(ended.stderr).not.toContain('b3BlbnNza');
  });

  it('is told to programs as one line of JSON', async () => {
    const ended = await build(['--workspace', workspace, '--target', 'vn', '--json']);
    expect(ended.exitCode).toBe(2);
    const last = JSON.parse(ended.stdout.split('\n').at(-1)!) as Record<string, unknown>;
    expect(last).toMatchObject({
      type: 'error',
      code: 'usage',
      message: expect.stringContaining('vn') as string,
    });
  });

  it('leaves everything as it was, and the next build works', async () => {
    expect(stateOf(workspace)).toEqual(before);
    checkRepository(workspace);
    const ended = await build(['--workspace', workspace, ...smallTree]);
    expectSuccess(ended);
    expect(stateOf(workspace)).toEqual(before);
  });
});

describe('settings of a workspace that cannot be used', () => {
  async function refusalOf(text: string) {
    const workspace = temporaryDirectory();
    writeFileSync(join(workspace, 'treeline.yaml'), text);
    const ended = await build(['--workspace', workspace]);
    expect(existsSync(join(workspace, 'out'))).toBe(false);
    return { ended, file: join(workspace, 'treeline.yaml') };
  }

  it('name the nearest setting there is, with file and line', async () => {
    const { ended, file } = await refusalOf('base: debian\nservises: [web]\n');
    expectRefusal(ended, {
      exitCode: 2,
      says: [`${file}:2`, 'servises', 'did you mean services?'],
      hint: ['docs/settings.md'],
    });
  });

  it('name the line of a value of the wrong kind', async () => {
    const { ended, file } = await refusalOf('base: debian\nkeep: many\n');
    expectRefusal(ended, { exitCode: 2, says: [`${file}:2`, 'keep'], hint: [file] });
  });

  it('name the line where it is no YAML', async () => {
    const { ended, file } = await refusalOf('base: debian\nservices: [web\n');
    expectRefusal(ended, { exitCode: 2, says: [`${file}:`], hint: [file] });
  });

  it('name the unknown service, base or architecture in it', async () => {
    for (const [text, says] of [
      ['base: debain', 'debain'],
      ['services: [wep]', 'wep'],
      ['arch: amd46', 'amd46'],
    ] as const) {
      const workspace = temporaryDirectory();
      writeFileSync(join(workspace, 'treeline.yaml'), `${text}\n`);
      expectRefusal(await build(['--workspace', workspace]), {
        exitCode: 2,
        says: [says],
        hint: ['Known: '],
      });
    }
  });
});

describe('build-update', () => {
  it.each([[[]], [['--target', 'vm']]])('says "build first" where nothing was built: %j', async (options) => {
    const workspace = temporaryDirectory();
    const ended = await runProgram('build-update', ['--workspace', workspace, ...options]);
    expectRefusal(ended, {
      exitCode: 1,
      says: ['nothing was built before'],
      hint: ['Build first: npm run build:vm'],
    });
    expect(stateOf(workspace)).toEqual({ refs: {}, output: [], unfinished: [] });
  });
});

describe('boot and serve', () => {
  it('say what to build first', async () => {
    const workspace = temporaryDirectory();
    const options = ['--workspace', workspace];
    expectRefusal(await runProgram('boot', options), {
      exitCode: 2,
      says: ['no disk image'],
      hint: ['npm run build:vm'],
    });
    expectRefusal(await runProgram('serve', options), {
      exitCode: 2,
      says: [join(workspace, 'out')],
      hint: ['npm run build:vm'],
    });
  });

  it.each(['0', 'http', '99999'])('refuse the port %s', async (port) => {
    const workspace = temporaryDirectory();
    mkdirSync(join(workspace, 'out'));
    const ended = await runProgram('serve', ['--workspace', workspace, '--port', port]);
    expectRefusal(ended, { exitCode: 2, says: [`--port ${port}`], hint: ['--port'] });
  });
});
