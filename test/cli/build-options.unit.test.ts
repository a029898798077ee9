import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseArguments } from '../../src/cli/arguments.ts';
import {
  chooseServices,
  readBuildOptions,
  readPublishOptions,
  readUpdateOptions,
} from '../../src/cli/build-options.ts';
import { readChoices, recordChoices } from '../../src/cli/choices.ts';
import type { WorkspaceSettings } from '../../src/cli/settings.ts';
import { openWorkspace } from '../../src/host/workspace.ts';
import { errorOf, temporaryDirectory } from '../helpers/host.ts';

const home = '/checkout';

function sources(
  line: string,
  settings: WorkspaceSettings = {},
  environment: NodeJS.ProcessEnv = {},
  root = temporaryDirectory(),
) {
  const args = parseArguments(line.split(' '), {});
  return { args, settings, workspace: openWorkspace(root), home, environment };
}
const one = async (line: string, settings?: WorkspaceSettings, environment?: NodeJS.ProcessEnv) =>
  (
    await readBuildOptions(
      sources(
        `build --target vm ${line.includes('--ssh-key') ? '' : '--no-ssh-key'} ${line}`
          .replaceAll(/ +/g, ' ')
          .trim(),
        settings,
        environment,
      ),
    )
  )[0]!;

describe('services', () => {
  it.each([
    [[], ['sshd']],
    [['web'], ['sshd', 'web']],
    [['sshd-'], []],
    [['web', 'sshd-', 'web'], ['web']],
    [['sshd'], ['sshd']],
  ])('%j gives %j', (named, chosen) => {
    expect(chooseServices(named)).toEqual(chosen);
  });
});

describe('options of a build', () => {
  it('are the checkout’s own where nobody says otherwise', async () => {
    const options = await one('');
    expect(options).toEqual({
      request: {
        overlays: '/checkout/overlays',
        base: 'debian',
        arch: 'x86_64',
        target: 'vm',
        services: ['sshd'],
        extraLayers: [],
      },
      baseReason: 'the default: this workspace has no treeline.yaml',
      packages: { mirrors: [], offline: false, refresh: false },
      layout: '/checkout/layouts/vm.cfg',
      sshKeys: [],
      updateUrl: '',
      keep: 3,
      flat: false,
      qcow2: false,
      epoch: undefined,
      force: false,
      explainCache: false,
      asked: { sshKeys: [] },
    });
  });

  const settings: WorkspaceSettings = {
    base: 'debian-12',
    arch: 'aarch64',
    services: ['web'],
    overlay: ['mine'],
    mirror: ['http://settings'],
    layout: 'own.cfg',
    'ssh-key': ['key.pub'],
    'update-url': 'http://settings/',
    keep: 7,
    flat: true,
  };

  it('are treeline.yaml’s before those, its paths relative to the workspace', async () => {
    const given = sources('build --target lxc', settings);
    const [options] = await readBuildOptions(given);
    const { root } = given.workspace;
    expect(options).toMatchObject({
      request: {
        base: 'debian-12',
        arch: 'aarch64',
        services: ['sshd', 'web'],
        extraLayers: [join(root, 'mine')],
      },
      packages: { mirrors: ['http://settings'] },
      layout: join(root, 'own.cfg'),
      sshKeys: [join(root, 'key.pub')],
      updateUrl: 'http://settings',
      keep: 7,
      flat: true,
    });
  });

  it('are the command line’s before all, its paths relative to the current directory', async () => {
    const line =
      '--base debian --arch x86_64 --service db --overlay o --mirror http://line --layout l.cfg --ssh-key k.pub --update-url http://line/ --keep 1 --offline';
    expect(await one(line, settings, { SOURCE_DATE_EPOCH: '1700000000' })).toMatchObject({
      request: {
        base: 'debian',
        arch: 'x86_64',
        services: ['sshd', 'db'],
        extraLayers: [join(process.cwd(), 'o')],
      },
      packages: { mirrors: ['http://line'], offline: true, refresh: false },
      layout: join(process.cwd(), 'l.cfg'),
      sshKeys: [join(process.cwd(), 'k.pub')],
      updateUrl: 'http://line',
      keep: 1,
      epoch: 1_700_000_000,
    });
  });

  it('say why it is this base', async () => {
    expect((await one('--base debian-12', settings)).baseReason).toBe('--base');
    expect((await one('', settings)).baseReason).toBe('treeline.yaml');
    const root = temporaryDirectory();
    writeFileSync(join(root, 'treeline.yaml'), 'keep: 7\n');
    const [options] = await readBuildOptions(sources('build --target vm', { keep: 7 }, {}, root));
    expect(options).toMatchObject({
      request: { base: 'debian' },
      baseReason: 'the default: treeline.yaml names none',
    });
  });

  it('are as many as there are targets, each once', async () => {
    const options = await readBuildOptions(sources('build --target vm --target lxc --target vm'));
    expect(options.map(({ request }) => request.target)).toEqual(['vm', 'lxc']);
  });

  it('are refused where no target is named: nothing would be built', async () => {
    expect((await errorOf(readBuildOptions(sources('build')))).code).toBe('usage');
  });

  it.each([
    ['--target wm', 'Cannot build for the target wm', 'Did you mean vm?'],
    ['--arch x86-64', 'Cannot build for the architecture x86-64', 'Did you mean x86_64?'],
    ['--keep 0', 'Cannot use --keep 0: it must be a whole number of at least 1', ''],
    ['--keep 1.5', 'Cannot use --keep 1.5', ''],
    ['--update-url ftp://x', 'Cannot use --update-url ftp://x', ''],
    ["--update-url http://x/'y", 'Cannot use --update-url', ''],
  ])('%s is refused', async (line, message, hint) => {
    const error = await errorOf(one(line));
    expect(error.code).toBe('usage');
    expect(error.message).toContain(message);
    expect(error.hint ?? '').toContain(hint);
  });

  it.each(['yesterday', '-1', '1e9', '999999999999'])('SOURCE_DATE_EPOCH=%s is refused', async (epoch) => {
    expect((await errorOf(one('', {}, { SOURCE_DATE_EPOCH: epoch }))).message).toContain(
      'seconds since 1970',
    );
  });
});

describe('options of an update', () => {
  const ref = 'treeline/debian-12/x86_64/vm';
  async function built() {
    const root = temporaryDirectory();
    const options = await one('--service web --update-url http://line --flat');
    await recordChoices(openWorkspace(root), ref, options);
    return {
      options,
      update: (line = '', settings: WorkspaceSettings = {}) =>
        readUpdateOptions(sources(`build-update ${line}`.trim(), settings, {}, root)),
      root,
    };
  }

  it('are those of the build, with new package lists', async () => {
    const { options, update } = await built();
    const request = { ...options.request, base: 'debian-12' };
    const baseReason = 'as it was built before';
    expect(await update()).toEqual([
      { ...options, request, baseReason, packages: { ...options.packages, refresh: true } },
    ]);
    expect((await update('--offline'))[0]!.packages).toMatchObject({ offline: true, refresh: false });
  });

  it('take what the build’s command line left open from treeline.yaml as it is now', async () => {
    const { update } = await built();
    const [options] = await update('', { overlay: ['/mine'], services: ['db'] });
    expect(options!.request.extraLayers).toEqual(['/mine']);
    expect(options!.request.services).toEqual(['sshd', 'web']);
  });

  it('keep the base of the build, whatever treeline.yaml says now', async () => {
    const { update } = await built();
    for (const line of ['', '--base debian']) {
      const [options] = await update(line, { base: 'alpine' });
      expect(options).toMatchObject({ request: { base: 'debian-12' }, baseReason: 'as it was built before' });
    }
  });

  it('may be changed on the command line', async () => {
    const { update } = await built();
    expect((await update('--service db'))[0]!.request.services).toEqual(['sshd', 'db']);
  });

  it('are refused where nothing was built: build first', async () => {
    const error = await errorOf(readUpdateOptions(sources('build-update')));
    expect(error.code).toBe('update');
    expect(error.message).toBe(
      'Cannot build an update for this workspace: nothing was built before that it could update',
    );
    expect(error.hint).toBe('Build first: npm run build:vm');
  });

  it('are refused for the targets that were not built', async () => {
    const error = await errorOf((await built()).update('--target vm --target lxc'));
    expect(error.message).toContain('target lxc');
    expect(error.hint).toBe('Build first: npm run build:lxc');
  });

  it('know the default base by its full name too', async () => {
    const { update } = await built();
    expect(await update('--base debian')).toHaveLength(1);
    expect(await update('--base debian-12')).toHaveLength(1);
  });

  it('that cannot be read are an error that names the file', async () => {
    const { root, update } = await built();
    const directory = join(openWorkspace(root).state, 'builds');
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'damaged.json'), '{');
    const error = await errorOf(update());
    expect(error.message).toContain('damaged.json');
  });

  it('are kept one file an image', async () => {
    const root = temporaryDirectory();
    const options = await one('');
    await recordChoices(openWorkspace(root), ref, options);
    await recordChoices(openWorkspace(root), ref, { ...options, asked: { updateUrl: 'http://new' } });
    expect((await readChoices(openWorkspace(root))).map(({ asked }) => asked.updateUrl)).toEqual([
      'http://new',
    ]);
  });
});

describe('the lock of a build', () => {
  it('is what the command line names, else what the workspace’s settings name', async () => {
    const directory = temporaryDirectory();
    expect((await one(`--lock ${directory}/my.json`, { lock: 'other.json' })).packages.lock).toBe(
      join(directory, 'my.json'),
    );
    expect((await one('', { lock: '/srv/other.json' })).packages.lock).toBe('/srv/other.json');
    expect((await one('')).packages.lock).toBeUndefined();
  });

  it('is no directory, and no pipe, which nobody may ever write into', async () => {
    const directory = temporaryDirectory();
    execFileSync('mkfifo', [join(directory, 'pipe')]);
    expect((await errorOf(one(`--lock ${directory}`))).message).toContain('it is a directory');
    expect((await errorOf(one(`--lock ${directory}/pipe`))).message).toContain('it is no regular file');
  });
});

describe('mirrors of a build', () => {
  it('may be directories relative to where the command, or the settings, stand', async () => {
    expect(
      (await one('--mirror ../kept --mirror https://mirror.example.org/alpine')).packages.mirrors,
    ).toEqual([resolve('../kept'), 'https://mirror.example.org/alpine']);
    const root = temporaryDirectory();
    const [options] = await readBuildOptions(
      sources('build --target vm --no-ssh-key', { mirror: ['kept', 'deb http://x y z'] }, {}, root),
    );
    expect(options!.packages.mirrors).toEqual([join(root, 'kept'), 'deb http://x y z']);
  });
});

describe('how updates are published', () => {
  const settings: WorkspaceSettings = { 'sign-key': ['old', 'new'], deltas: 3, 'valid-days': 30 };

  it('is by the workspace’s key, for the last release, for 90 days, where nobody says otherwise', () => {
    expect(readPublishOptions(sources('build-update'))).toEqual({
      signKeys: undefined,
      deltas: 1,
      validDays: 90,
    });
  });

  it('is as treeline.yaml says, and before that the command line', () => {
    expect(readPublishOptions(sources('build-update', settings))).toEqual({
      signKeys: { home: join(homedir(), '.gnupg'), names: ['old', 'new'] },
      deltas: 3,
      validDays: 30,
    });
    const line = 'build-update --sign-key mine --deltas 5 --valid-days 7';
    expect(readPublishOptions(sources(line, settings, { GNUPGHOME: '/keys' }))).toEqual({
      signKeys: { home: '/keys', names: ['mine'] },
      deltas: 5,
      validDays: 7,
    });
  });

  it.each(['--deltas 0', '--deltas x', '--valid-days 0', '--valid-days 3651', '--valid-days 1.5'])(
    'is not as %s would have it',
    (words) => {
      expect(() => readPublishOptions(sources(`build-update ${words}`))).toThrow(`Cannot use ${words}`);
    },
  );
});
