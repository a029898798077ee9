import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { readSettings } from '../src/cli/settings.ts';
import { findMissing } from '../src/host/tools.ts';
import { setUp } from '../src/setup.ts';
import { errorOf, temporaryDirectory, temporaryHost } from './helpers/host.ts';
import { lacks } from './helpers/needs.ts';
import { layFiles } from './helpers/trees.ts';

const home = join(import.meta.dirname, '..');
const missing = lacks({ programs: ['ostree', 'qemu-system-x86_64', 'lxc-start', 'mksquashfs'], root: true });

it.skipIf(missing)('setup records the default base in a file that a second run leaves alone', () => {
  const workspace = temporaryDirectory();
  const runSetup = (): string =>
    execFileSync(join(home, 'scripts/setup'), ['--workspace', workspace], { encoding: 'utf8' });
  expect(runSetup()).toContain('nothing is missing');
  const file = join(workspace, 'treeline.yaml');
  expect(readFileSync(file, 'utf8')).toMatch(/^base: (alpine|debian)$/m);
  writeFileSync(file, 'base: debian-12\n');
  const before = statSync(file).mtimeMs;
  runSetup();
  expect(readFileSync(file, 'utf8')).toBe('base: debian-12\n');
  expect(statSync(file).mtimeMs).toBe(before);
});

it('setup says which Node.js it needs where an older one is installed', () => {
  const programs = temporaryDirectory();
  writeFileSync(
    join(programs, 'node'),
    '#!/bin/sh\n[ "$1" != --version ] || { echo v18.20.4; exit 0; }\nexit 1\n',
    {
      mode: 0o755,
    },
  );
  const run = spawnSync(join(home, 'scripts/setup'), [], {
    encoding: 'utf8',
    env: { PATH: `${programs}:/usr/bin:/bin` },
  });
  expect(run.status).toBe(1);
  expect(run.stderr).toContain('needs Node.js 20.19 or newer; this machine has v18.20.4');
  expect(run.stderr).toContain('hint: ');
});

/** A mirror that never answers, and how long each of those who asked waited. */
function hangs() {
  const waits: Promise<{ began: number; ended: number }>[] = [];
  const listener: RequestListener = ({ socket }) => {
    const began = performance.now();
    waits.push(once(socket, 'close').then(() => ({ began, ended: performance.now() })));
  };
  return { listener, waits: () => Promise.all(waits) };
}

const nothingToInstall = lacks({ programs: findMissing(['build', 'vm', 'container']).names });

describe.skipIf(nothingToInstall)('the default base', () => {
  const arch = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
  const index = `/alpine/latest-stable/main/${arch}/APKINDEX.tar.gz`;

  it('is alpine where a mirror has the index; who was asked stands in the file', async () => {
    const asked: string[] = [];
    const mirror = await serve(({ method, url }, response) => {
      asked.push(`${method} ${url}`);
      response.end();
    });
    const { settings, text, events } = await setUpWith([mirror]);
    expect(asked).toEqual([`HEAD ${index}`]);
    expect(settings).toEqual({ base: 'alpine' });
    expect(text).toContain(`#   http://localhost:${new URL(mirror).port}${index} answers\n`);
    expect(text).toMatch(/Change it by hand/);
    expect(events).toContainEqual(
      expect.objectContaining({
        type: 'stage-end',
        stage: 'base',
        detail: expect.stringMatching(/^alpine: /),
      }),
    );
  });

  it('is alpine where a mirror leads elsewhere, and where it is a directory', async () => {
    const target = await serve((_, response) => void response.end());
    const mirror = await serve(({ url }, response) => {
      response.writeHead(302, { location: `${new URL(target).origin}/elsewhere${url}` }).end();
    });
    expect((await setUpWith([mirror])).settings).toEqual({ base: 'alpine' });
    const directory = layFiles(temporaryDirectory(), { [index.slice(1)]: '' });
    expect((await setUpWith([`${directory}/alpine`])).settings).toEqual({ base: 'alpine' });
  });

  it('is debian where no mirror has it, with what each one said', async () => {
    const mirror = await serve((_, response) => void response.writeHead(404).end());
    const { settings, text } = await setUpWith([mirror, refusing]);
    expect(settings).toEqual({ base: 'debian' });
    expect(text).toMatch(new RegExp(`# {3}http://localhost:\\d+${index}: .*404`));
    expect(text).toMatch(/# {3}http:\/\/localhost:1\/\S+: .*[Cc]onnect/);
  });

  it('is alpine at once where one of the mirrors answers and others hang or refuse', async () => {
    const good = await serve((_, response) => void response.end());
    const hanging = hangs();
    const { settings } = await setUpWith([await serve(hanging.listener), refusing, good]);
    expect(settings).toEqual({ base: 'alpine' });
    // It was given up long before its five seconds were over, or was never asked.
    for (const { began, ended } of await hanging.waits()) expect(ended - began).toBeLessThan(4900);
  });

  it('is debian where every mirror hangs; all were waited for at the same time', async () => {
    const [one, two] = [hangs(), hangs()];
    const { settings, text } = await setUpWith([await serve(one.listener), await serve(two.listener)]);
    expect(settings).toEqual({ base: 'debian' });
    expect(text.match(/timed out/g)).toHaveLength(2);
    const waits = [...(await one.waits()), ...(await two.waits())];
    expect(waits).toHaveLength(2);
    expect(Math.max(...waits.map(({ began }) => began))).toBeLessThan(
      Math.min(...waits.map(({ ended }) => ended)),
    );
  });

  it('is debian where the layers have no alpine', async () => {
    const { settings, text } = await setUpWith(undefined);
    expect(settings).toEqual({ base: 'debian' });
    expect(text).toContain('#   the layers have no base alpine\n');
  });

  it('is not asked for again where there is a treeline.yaml', async () => {
    const mirror = await serve((_, response) => void response.end());
    const { settings, events } = await setUpWith([mirror], 'keep: 5\n');
    expect(settings).toEqual({ keep: 5 });
    expect(events).not.toContainEqual(expect.objectContaining({ stage: 'base' }));
  });

  it('is not recorded where the user stops the probe', async () => {
    const host = temporaryHost();
    const mirror = await serve(() => host.stop());
    const work = setUp(host, { minimal: true, overlays: overlaysWith([mirror]) });
    expect((await errorOf(work)).code).toBe('cancelled');
    expect(existsSync(host.workspace.settingsFile)).toBe(false);
  });

  it('shows no password of a mirror', async () => {
    const mirror = await serve((_, response) => void response.end());
    const { text } = await setUpWith([mirror.replace('//', '//me:secret@')]);
    expect(text).toContain(' answers');
    expect(text).not.toContain('secret');
  });
});

const refusing = 'http://localhost:1/alpine/';

/** A mirror on this machine: its URL. */
async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://localhost:${(server.address() as AddressInfo).port}/alpine`;
}

/** Layers whose base alpine has these mirrors; without them, no such base. */
function overlaysWith(mirrors: readonly string[] | undefined): string {
  const settings = `release: latest-stable
distribution:
  name: Alpine Linux
  packages: apk
  architectures: {x86_64: x86_64, aarch64: aarch64}
mirrors: ${JSON.stringify(mirrors)}
`;
  return layFiles(temporaryDirectory(), {
    'base/debian/layer.yaml': '',
    ...(mirrors !== undefined && {
      'base/alpine/layer.yaml': settings,
      'base/alpine/latest-stable/packages.list': '',
    }),
  });
}

async function setUpWith(mirrors: readonly string[] | undefined, before?: string) {
  const host = temporaryHost();
  const file = host.workspace.settingsFile;
  if (before !== undefined) writeFileSync(file, before);
  await setUp(host, { minimal: true, overlays: overlaysWith(mirrors) });
  return { settings: await readSettings(file), text: readFileSync(file, 'utf8'), events: host.events };
}
