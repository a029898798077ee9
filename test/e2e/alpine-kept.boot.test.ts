import { cp, mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { givenAlpine } from './given.ts';
import { runScriptText } from './program.ts';

const { images, skipped, note } = await givenAlpine(['unshare']);
const home = join(import.meta.dirname, '../..');

describe.skipIf(skipped)(`Alpine packages that were kept by npm run vendor${note}`, () => {
  let directory: string;
  let options: string[];
  let mirror: string;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'treeline-kept-'));
    const builds = join(images.workspace, '.treeline/builds');
    const name = (await readdir(builds)).find((file) => /alpine.*lxc\.json$/.test(file))!;
    const { base, asked } = JSON.parse(await readFile(join(builds, name), 'utf8')) as {
      base: string;
      asked: { overlays: string[]; mirrors: string[] };
    };
    mirror = asked.mirrors[0]!;
    options = ['--base', base, '--no-ssh-key', ...asked.overlays.flatMap((path) => ['--overlay', path])];
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  /** A fresh machine's workspace, with the keys of the first one. */
  const workspaceOf = async (name: string): Promise<string> => {
    const workspace = join(directory, name);
    await cp(join(images.workspace, '.treeline/keys'), join(workspace, '.treeline/keys'), {
      recursive: true,
      // gpg-agent's sockets.
      filter: (source) => !/\/S\.[^/]*$/.test(source),
    });
    return workspace;
  };
  const commitOf = async (workspace: string): Promise<string> => {
    const latest = join(workspace, 'out', options[1]!, 'x86_64/lxc/latest');
    return (JSON.parse(await readFile(join(latest, 'manifest.json'), 'utf8')) as { commit: string }).commit;
  };

  it('give the same commit on another machine without any network, and the lock keeps to them', async () => {
    const online = await workspaceOf('online');
    await runScriptText('build-lxc', [...options, '--mirror', mirror, '--workspace', online]);
    const kept = join(directory, 'kept');
    await runScriptText('vendor', [kept, '--base', options[1]!, '--workspace', online]);

    const offline = await workspaceOf('offline');
    const lock = join(kept, 'treeline.lock.json');
    const build = ['--offline', '--mirror', kept, '--lock', lock, '--workspace', offline];
    const { exitCode, stderr } = await execa(
      'unshare',
      ['--net', 'node', join(home, 'scripts/build-lxc.mjs'), ...options, ...build],
      { reject: false, stdin: 'ignore' },
    );
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(await commitOf(offline)).toBe(await commitOf(online));
  });
});
