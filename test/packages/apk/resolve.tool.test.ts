import { cpSync, existsSync, readFileSync, readdirSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { apkBackend } from '../../../src/packages/apk/backend.ts';
import { makeLock } from '../../../src/packages/lock.ts';
import type { ApkRequest } from '../../helpers/apks.ts';
import { buildApk, makeKey, rawTarEntry, tarEnd } from '../../helpers/apks.ts';
import { errorOf, temporaryDirectory } from '../../helpers/host.ts';
import {
  alpineKeyFiles,
  asking,
  cannotInstall,
  keyFile,
  makeMirror,
  origin,
  packageStore,
  repository,
  withExtra,
  workspaceAt,
} from './alpine.ts';
import { alpineMain, alpinePackage } from '../../helpers/alpine-repository.ts';

const asked = `(asked for by ${origin.file}:3)`;
const refusing = 'http://127.0.0.1:9';

describe.skipIf(cannotInstall)(`resolving (${cannotInstall ?? 'with Alpine’s own apk'})`, () => {
  it('locks what apk chooses, with repository, size and checksum, and apk’s own packages apart', async () => {
    const { host, resolve, wanted } = await withExtra([
      { name: 'web', version: '1.2-r3', depends: ['zlib'] },
    ]);
    const lock = await resolve(wanted(['web']));
    const versionOf = (name: string): string => alpinePackage(name).slice(name.length + 1, -'.apk'.length);
    const size = readFileSync(join(alpineMain, alpinePackage('zlib'))).length;
    expect(lock.packages.map(({ name, version, source }) => `${name} ${version} ${source}`)).toEqual([
      `musl ${versionOf('musl')} main`,
      'web 1.2-r3 extra',
      `zlib ${versionOf('zlib')} main`,
    ]);
    expect(lock.packages[2]).toMatchObject({
      architecture: 'x86_64',
      size,
      checksum: expect.stringMatching(/^Q1.{27}=$/),
    });
    expect(lock.tools.map(({ name }) => name)).toEqual([
      ...['apk-tools', 'libcrypto3', 'libssl3', 'musl', 'zlib'],
    ]);
    expect(lock.digest).toBe(makeLock(lock.distribution, lock).digest);
    // apk itself is fetched in this stage; the stage of that name may never come, and would seem to run for ever.
    const progress = host.events.flatMap((event) => (event.type === 'stage-progress' ? [event.stage] : []));
    expect(new Set(progress)).toEqual(new Set(['resolve']));
  });

  it('takes the statically linked apk where a repository has it', async () => {
    const { resolve, wanted } = await withExtra([
      { name: 'web' },
      {
        name: 'apk-tools-static',
        files: { 'sbin/apk.static': { content: '#!/bin/sh\nexit 1\n', mode: 0o755 } },
      },
    ]);
    const error = await errorOf(resolve(wanted(['web'])));
    expect(error.message).toContain('apk failed');
    expect(error.output).toContain('/apk/sbin/apk.static');
  });

  it('never unpacks apk through a link of one of its packages', async () => {
    const outside = temporaryDirectory();
    const mirror = makeMirror();
    unlinkSync(join(mirror.directory, 'v3.19/main'));
    mirror.publish('main', [
      { name: 'apk-tools', files: { lib: { link: outside } } },
      { name: 'musl', data: Buffer.concat([rawTarEntry({ path: 'lib/evil', content: 'x' }), tarEnd]) },
    ]);
    const { resolve } = await workspaceAt([mirror.directory]);
    const error = await errorOf(
      resolve(asking(['musl'], { repositories: [repository('main', [keyFile()])] })),
    );
    expect(error.message).toBe(`Cannot unpack apk: lib is a link to the directory ${outside}`);
    expect(readdirSync(outside)).toEqual([]);
  });

  it('fetches an index again that was removed from the cache', async () => {
    const { mirror, host, wanted } = await withExtra([{ name: 'web' }]);
    const { resolve } = await workspaceAt([await serveDirectory(mirror.directory)], { host });
    const lock = await resolve(wanted(['web']));
    const apk = join(host.workspace.cache, 'apk');
    for (const name of readdirSync(apk)) rmSync(join(apk, name, 'indexes'), { recursive: true, force: true });
    expect(await resolve(wanted(['web']))).toEqual(lock);
  });

  it('gives the same lock from a warm workspace, offline and without the mirror', async () => {
    const { mirror, host, resolve, wanted } = await withExtra([{ name: 'web' }]);
    const recipe = wanted(['web']);
    const url = await serveDirectory(mirror.directory);
    const { resolve: resolveAt, fetch: fetchAt } = await workspaceAt([url], { host });
    const lock = await resolveAt(recipe);
    await fetchAt(recipe);
    expect((await resolve(recipe)).digest).toBe(lock.digest);
    rmSync(mirror.directory, { recursive: true });
    expect(await resolveAt(recipe, { offline: true })).toEqual(lock);
    expect((await fetchAt(recipe, { offline: true })).files).toHaveLength(1);
  });

  it('works offline after the very first build of a workspace, which made its key', async () => {
    const mirror = makeMirror();
    const { resolve } = await workspaceAt([await serveDirectory(mirror.directory)], { ownKey: true });
    const lock = await resolve(asking(['musl']));
    expect(await resolve(asking(['musl']), { offline: true })).toEqual(lock);
  });

  it('asks for a new index only when it is old or a refresh is asked for', async () => {
    const { mirror, host, wanted } = await withExtra([{ name: 'web' }]);
    const { resolve } = await workspaceAt([await serveDirectory(mirror.directory)], { host });
    const version = async (refresh: boolean) =>
      (await resolve(wanted(['web']), { refresh })).packages[0]!.version;
    expect(await version(false)).toBe('1.0-r0');
    mirror.publish('extra', [{ name: 'web', version: '2.0-r0' }]);
    expect(await version(false)).toBe('1.0-r0');
    expect(await version(true)).toBe('2.0-r0');
  });

  it('asks apk again where a kept answer is damaged', async () => {
    const { host, resolve, wanted } = await withExtra([{ name: 'web' }]);
    const lock = await resolve(wanted(['web']));
    const apk = join(host.workspace.cache, 'apk');
    const answers = readdirSync(apk, { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('.json'),
    );
    expect(answers).toHaveLength(1);
    writeFileSync(join(apk, answers[0]!), '{"packages": [{"name": "../evil"}], "tools": []}');
    expect(await resolve(wanted(['web']))).toEqual(lock);
  });
});

describe.skipIf(cannotInstall)('what cannot be installed', () => {
  it('is named with the file and line that ask for it', async () => {
    const { resolve, wanted } = await withExtra([{ name: 'web', depends: ['wbe'] }]);
    const error = await errorOf(resolve(wanted(['web', 'wbe', 'nothing-such'])));
    expect(error.code).toBe('package');
    expect(error.message).toMatch(/ Alpine Linux v3\.19 has no such package$/);
    expect(error.message).toContain(`nothing-such ${asked}`);
    expect(error.message).toContain(`wbe ${asked}`);
  });

  it('is named where apk lists many that need it', async () => {
    const names = Array.from({ length: 30 }, (_, index) => `needs-it-with-a-long-name-${index}`);
    const { resolve, wanted } = await withExtra(names.map((name) => ({ name, depends: ['lost'] })));
    const error = await errorOf(resolve(wanted([...names, 'lost'])));
    expect(error.message).toBe(`Cannot install lost ${asked}: Alpine Linux v3.19 has no such package`);
  });

  it('is told in apk’s words where packages do not fit together', async () => {
    const { resolve, wanted } = await withExtra([
      { name: 'web', depends: ['libweb>=9'] },
      { name: 'libweb' },
      { name: 'rival', depends: ['!libweb'] },
    ]);
    const error = await errorOf(resolve(wanted(['web'])));
    expect(error.message).toContain('they do not fit together');
    expect(error.output).toMatch(/libweb-1\.0-r0:\n\s+breaks: web-1\.0-r0\[libweb>=9\]/);
    expect((await errorOf(resolve(wanted(['libweb', 'rival'])))).output).toContain('!libweb');
  });

  it('is a release that does not exist, and names the mirror and what to do', async () => {
    const mirror = makeMirror();
    const { resolve } = await workspaceAt([mirror.directory, await serveDirectory(mirror.directory)]);
    const recipe = asking(['musl']);
    const error = await errorOf(
      resolve({ ...recipe, distribution: { ...recipe.distribution, release: 'v9.9' } }),
    );
    expect(error.code).toBe('network');
    expect(error.message).toContain('Cannot fetch the package index main of Alpine Linux v9.9 from');
    expect(error.message).toContain(`${mirror.directory}/v9.9/main/x86_64/APKINDEX.tar.gz`);
    expect(error.hint).toContain('name of the release');
    expect(error.output).toContain('not there');
  });

  it('is anything where no mirror answers, and the way out is named', async () => {
    const { resolve } = await workspaceAt([refusing]);
    const error = await errorOf(resolve(asking(['musl'])));
    expect(error.code).toBe('network');
    expect(error.hint).toContain('--offline');
    expect(error.output).toMatch(/127\.0\.0\.1/);
  });

  it('is anything offline in a workspace that has no indexes yet', async () => {
    const { resolve } = await workspaceAt([refusing]);
    const error = await errorOf(resolve(asking(['musl']), { offline: true }));
    expect(error.message).toBe(
      'Cannot build treeline/alpine-v3.19/x86_64/vm offline: this workspace has no package indexes yet',
    );
    expect(error.hint).toContain('npm run vendor');
  });
});

describe.skipIf(cannotInstall)('repositories', () => {
  const [ours, theirs] = [makeKey('ours.rsa.pub'), makeKey('theirs.rsa.pub')];

  const several = async () => {
    const mirror = makeMirror();
    const repositories = [
      repository('main', alpineKeyFiles()),
      repository('first', [keyFile(ours)]),
      repository('second', [keyFile(theirs)]),
      repository('testing', [keyFile(ours)], { tag: 'testing' }),
    ];
    const foo = (content: string, version = '1.0-r0'): ApkRequest => ({
      name: 'foo',
      version,
      files: { foo: content },
    });
    mirror.publish('first', [foo('first')], ours);
    mirror.publish('second', [foo('second'), { name: 'only-second' }], theirs);
    mirror.publish(
      'testing',
      [foo('testing'), foo('newer', '2.0-r0'), { name: 'only-testing', depends: ['help'] }, { name: 'help' }],
      ours,
    );
    const workspace = await workspaceAt([mirror.directory]);
    const wanted = (...names: string[]) => asking(names, { repositories });
    const sources = async (...names: string[]) =>
      (await workspace.resolve(wanted(...names))).packages.map(
        ({ name, version, source }) => `${name} ${version} ${source}`,
      );
    return { mirror, wanted, foo, sources, ...workspace };
  };

  it('are asked in order: what several have comes from the first', async () => {
    const { sources, install, wanted } = await several();
    expect(await sources('foo', 'only-second')).toEqual(['foo 1.0-r0 first', 'only-second 1.0-r0 second']);
    expect(readFileSync(join(await install(wanted('foo')), 'foo'), 'utf8')).toBe('first');
  });

  it('with a tag give what is asked for as NAME@TAG, with what that needs, and nothing else', async () => {
    const { sources, install, resolve, wanted } = await several();
    expect(await sources('only-testing@testing', 'only-second')).toEqual([
      'help 1.0-r0 testing',
      'only-second 1.0-r0 second',
      'only-testing 1.0-r0 testing',
    ]);
    expect(await sources('foo@testing')).toEqual(['foo 2.0-r0 testing']);
    expect(readFileSync(join(await install(wanted('foo@testing')), 'foo'), 'utf8')).toBe('newer');
    const error = await errorOf(resolve(wanted('only-testing')));
    expect(error.message).toBe(
      `Cannot install only-testing ${asked}: only the repository with the tag testing has it`,
    );
    expect(error.hint).toContain('only-testing@testing');
    expect((await errorOf(resolve(wanted('foo@tasting')))).message).toBe(
      `Cannot install foo ${asked} from @tasting: no repository has this tag`,
    );
  });

  it('of one version each give their own where the tag is asked for', async () => {
    const { mirror, foo, install, wanted } = await several();
    mirror.publish('testing', [foo('testing')], ours);
    expect(readFileSync(join(await install(wanted('foo@testing')), 'foo'), 'utf8')).toBe('testing');
    expect(readFileSync(join(await install(wanted('foo')), 'foo'), 'utf8')).toBe('first');
  });

  it('are refused where the key of another one signed the index or a package', async () => {
    const { mirror, foo, resolve, fetch, wanted } = await several();
    mirror.publish('first', [foo('first')], theirs);
    const index = await errorOf(resolve(wanted('foo')));
    expect(index.message).toMatch(
      /Cannot use the index of first from .*: it is signed by theirs\.rsa\.pub, which is not/,
    );
    expect(index.hint).toContain('keys directory');
    mirror.publish('first', [buildApk(foo('first'), theirs)], ours);
    const file = await errorOf(fetch(wanted('foo')));
    expect(file.message).toContain('Cannot use foo 1.0-r0 from first: it is signed by theirs.rsa.pub');
  });

  it('of the base do not count the key of an extra one, either', async () => {
    const mirror = makeMirror();
    unlinkSync(join(mirror.directory, 'v3.19/main'));
    mirror.publish('main', [{ name: 'musl' }, { name: 'apk-tools' }], ours);
    const { resolve } = await workspaceAt([mirror.directory]);
    const repositories = [repository('main', alpineKeyFiles()), repository('extra', [keyFile(ours)])];
    expect((await errorOf(resolve(asking(['musl'], { repositories })))).message).toMatch(
      /the index of main from .*: it is signed by ours\.rsa\.pub/,
    );
  });

  it('may lie at a URL or directory of their own', async () => {
    const elsewhere = makeMirror();
    elsewhere.publish('mine', [{ name: 'mine' }], ours);
    const place = join(elsewhere.directory, 'v3.19/mine');
    for (const url of [place, `file://${place}`, `${await serveDirectory(elsewhere.directory)}/v3.19/mine`]) {
      const { install } = await workspaceAt([makeMirror().directory]);
      const repositories = [
        repository('main', alpineKeyFiles()),
        repository('mine', [keyFile(ours)], { url }),
      ];
      expect(existsSync(join(await install(asking(['mine'], { repositories })), 'usr/share/mine'))).toBe(
        true,
      );
    }
  });
});

describe.skipIf(cannotInstall)('an index', () => {
  it('that does not verify leaves the one that was there, and offline builds work on', async () => {
    const { mirror, host, wanted } = await withExtra([{ name: 'web' }]);
    const { resolve } = await workspaceAt([await serveDirectory(mirror.directory)], { host });
    const lock = await resolve(wanted(['web']));
    const index = join(mirror.directory, 'v3.19/extra/x86_64/APKINDEX.tar.gz');
    const good = readFileSync(index);
    const bytes = Buffer.from(good);
    bytes[bytes.length - 20]! ^= 1;
    writeFileSync(index, bytes);
    const error = await errorOf(resolve(wanted(['web']), { refresh: true }));
    expect(error.code).toBe('package');
    expect(error.message).toMatch(
      /^Cannot use the index of extra from http.*: its signature by .* does not match$/,
    );
    expect(await resolve(wanted(['web']), { offline: true })).toEqual(lock);
    expect(await resolve(wanted(['web']))).toEqual(lock);
    writeFileSync(index, good);
    expect(await resolve(wanted(['web']), { refresh: true })).toEqual(lock);
  });

  it('that is damaged at the first mirror comes from the second', async () => {
    const { mirror, wanted, resolve } = await withExtra([{ name: 'web' }]);
    const lock = await resolve(wanted(['web']));
    const broken = makeMirror();
    broken.publish('extra', [{ name: 'web' }]);
    writeFileSync(join(broken.directory, 'v3.19/extra/x86_64/APKINDEX.tar.gz'), '<html>Please log in</html>');
    const both = await workspaceAt([broken.directory, mirror.directory]);
    expect(await both.resolve(wanted(['web']))).toEqual(lock);
    const alone = await workspaceAt([broken.directory]);
    expect((await errorOf(alone.resolve(wanted(['web'])))).message).toContain('there is no gzip member');
  });
});

describe.skipIf(cannotInstall)('fetching', () => {
  const hostile: [string, ApkRequest | Buffer, RegExp][] = [
    [
      'a climbing path',
      { name: 'bad', data: Buffer.concat([rawTarEntry({ path: '../../etc/evil', content: 'x' }), tarEnd]) },
      /climbs out/,
    ],
    [
      'a link that leads out',
      { name: 'bad', files: { 'usr/out': { link: '../../../etc' } } },
      /leaves the tree/,
    ],
    ['a device node', { name: 'bad', files: { 'dev/sda': { type: '4' } } }, /is a device node/],
    [
      'a setuid program',
      { name: 'bad', files: { 'usr/bin/root': { content: 'x', mode: 0o4755 } } },
      /setuid or setgid bit/,
    ],
    [
      'data that does not match its hash',
      { name: 'bad', datahash: 'a'.repeat(64) },
      /but its datahash is a{64}/,
    ],
    [
      'a key that is not pinned',
      buildApk({ name: 'bad' }, makeKey('foreign.rsa.pub')),
      /signed by foreign\.rsa\.pub/,
    ],
  ];

  it.each(hostile)(
    'a package with %s is refused with its name and repository, and nothing stays',
    async (_, apk, reason) => {
      const { host, fetch, wanted } = await withExtra([apk]);
      const error = await errorOf(fetch(wanted(['bad'])));
      expect(error.code).toBe('package');
      expect(error.message).toMatch(/^Cannot use bad 1\.0-r0 from extra: /);
      expect(error.message).toMatch(reason);
      // The rest is apk itself.
      expect(readdirSync(packageStore(host)).filter((name) => !/^[0-9a-f]{40}\.apk$/.test(name))).toEqual([]);
      expect(readdirSync(packageStore(host))).toHaveLength(5);
    },
  );

  it('a package that was exchanged for another one, however well signed, is refused', async () => {
    const { mirror, host, fetch, wanted } = await withExtra([{ name: 'web' }]);
    const place = join(mirror.directory, 'v3.19/extra/x86_64');
    const { length } = readFileSync(join(place, 'web-1.0-r0.apk'));
    const sameLength = Array.from({ length: 500 }, (_, index) =>
      buildApk({ name: 'web', version: '0.9-r9', files: { 'usr/share/web': `${index}\n` } }, makeKey()),
    ).find((bytes) => bytes.length === length)!;
    writeFileSync(join(place, 'web-1.0-r0.apk'), sameLength);
    expect((await errorOf(fetch(wanted(['web'])))).message).toMatch(
      /^Cannot use web 1\.0-r0 from extra: its checksum is/,
    );
    writeFileSync(
      join(place, 'web-1.0-r0.apk'),
      buildApk({ name: 'web', files: { big: 'x'.repeat(1 << 16) } }, makeKey()),
    );
    const error = await errorOf(fetch(wanted(['web'])));
    expect(`${error.message} ${error.output ?? ''}`).toMatch(/web 1\.0-r0.*(more than \d+ bytes|size)/s);
    expect(readdirSync(packageStore(host))).toHaveLength(5);
  });

  it('a package comes from the second mirror where the first has a damaged one, or none', async () => {
    const { mirror, fetch, wanted } = await withExtra([{ name: 'web' }]);
    const first = makeMirror();
    cpSync(join(mirror.directory, 'v3.19/extra'), join(first.directory, 'v3.19/extra'), { recursive: true });
    const file = join(first.directory, 'v3.19/extra/x86_64/web-1.0-r0.apk');
    const bytes = readFileSync(file);
    bytes[bytes.length - 12]! ^= 1;
    writeFileSync(file, bytes);
    const damaged = await workspaceAt([first.directory, mirror.directory]);
    expect((await damaged.fetch(wanted(['web']))).files).toHaveLength(1);
    unlinkSync(file);
    const lacking = await workspaceAt([first.directory, mirror.directory]);
    expect((await lacking.fetch(wanted(['web']))).files).toHaveLength(1);
    expect((await fetch(wanted(['web']))).files).toHaveLength(1);
  });

  it('a package that the mirror deleted since is told with what to do', async () => {
    const { mirror, host, wanted } = await withExtra([{ name: 'web' }]);
    const { fetch } = await workspaceAt([await serveDirectory(mirror.directory)], { host });
    unlinkSync(join(mirror.directory, 'v3.19/extra/x86_64/web-1.0-r0.apk'));
    const error = await errorOf(fetch(wanted(['web'])));
    expect(error.code).toBe('network');
    expect(error.message).toMatch(/^Cannot fetch web 1\.0-r0 from http/);
    expect(error.hint).toMatch(/--refresh.*deletes superseded packages.*vendor/);
    expect(error.output).toMatch(/web-1\.0-r0\.apk: not there/);
  });

  it('a package that is damaged in the cache is fetched again, and cannot be had offline', async () => {
    const { mirror, host, wanted } = await withExtra([{ name: 'web' }]);
    const { fetch } = await workspaceAt([await serveDirectory(mirror.directory)], { host });
    const { files } = await fetch(wanted(['web']));
    const good = readFileSync(files[0]!.path);
    writeFileSync(files[0]!.path, good.subarray(0, -3));
    expect((await errorOf(fetch(wanted(['web']), { offline: true }))).message).toBe(
      'Cannot build offline: the cache lacks web 1.0-r0',
    );
    await fetch(wanted(['web']));
    expect(readFileSync(files[0]!.path).equals(good)).toBe(true);
  });

  it('a package that both the tree and apk need is brought once, from an empty cache', async () => {
    const { host, resolve, options, wanted } = await withExtra([]);
    const recipe = wanted(['musl', 'zlib', 'libcrypto3', 'apk-tools']);
    const lock = await resolve(recipe);
    rmSync(packageStore(host), { recursive: true });
    for (let round = 0; round < 3; round += 1) {
      const { files } = await apkBackend.fetch(host, lock, recipe, options());
      expect(files.map((file) => file.package)).toEqual(lock.packages);
      rmSync(packageStore(host), { recursive: true });
    }
  });

  it('a setuid program that one recipe may have stays refused for another one of the same workspace', async () => {
    const { fetch, wanted } = await withExtra([
      { name: 'su', files: { 'usr/bin/su': { content: 'x', mode: 0o4755 } } },
    ]);
    const allowed = wanted(['su'], { settings: { setuid: ['usr/bin/su'] } });
    expect((await fetch(allowed)).files).toHaveLength(1);
    expect((await errorOf(fetch(wanted(['su'])))).message).toContain('brings the setuid or setgid bit');
    expect((await fetch(allowed, { offline: true })).files).toHaveLength(1);
  });
});

/** The directory over HTTP, until the test ends. */
async function serveDirectory(directory: string): Promise<string> {
  const server = createServer(({ url = '' }, response) => {
    const path = join(directory, decodeURIComponent(url));
    if (!existsSync(path)) response.writeHead(404).end();
    else response.end(readFileSync(path));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
}
