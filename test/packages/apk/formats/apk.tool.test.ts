import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { readIndex, writeIndex } from '../../../../src/packages/apk/formats/index-file.ts';
import { indexEntryOf, verifyPackage } from '../../../../src/packages/apk/formats/package-file.ts';
import type { ApkRequest } from '../../../helpers/apks.ts';
import { alpineKeys, buildApk, makeKey, writeRepository } from '../../../helpers/apks.ts';
import { temporaryDirectory } from '../../../helpers/host.ts';
import { lacks } from '../../../helpers/needs.ts';
import { alpineDirectory, alpineMissing } from '../../../helpers/alpine-repository.ts';

const reason =
  alpineMissing ??
  lacks({ programs: ['tar'], root: true }) ??
  (process.arch === 'x64' ? undefined : 'the repository is for x86_64');
const alpine = join(alpineDirectory, 'v3.19/main');
const key = makeKey();

/** Runs Alpine's apk, unpacked from its packages; gives what it printed. */
function bootstrapApk(): (args: readonly string[]) => string {
  const directory = temporaryDirectory();
  const needed = /^(musl|apk-tools|libcrypto3|libssl3|zlib)-\d/;
  for (const name of readdirSync(join(alpine, 'x86_64')).filter((file) => needed.test(file))) {
    execFileSync('tar', ['-xzf', join(alpine, 'x86_64', name), '--warning=none', '-C', directory]);
  }
  const loader = join(directory, 'lib/ld-musl-x86_64.so.1');
  const program = ['--library-path', join(directory, 'lib'), join(directory, 'sbin/apk')];
  const keys = join(directory, 'keys');
  mkdirSync(keys);
  for (const { name, key: alpineKey } of [key.public, ...alpineKeys()]) {
    writeFileSync(join(keys, name), alpineKey.export({ type: 'spki', format: 'pem' }));
  }
  return (args) => {
    const { status, stdout, stderr } = spawnSync(loader, [...program, '--keys-dir', keys, ...args], {
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(`apk ${args.join(' ')}: ${stdout}${stderr}`);
    return stdout + stderr;
  };
}

const requests: ApkRequest[] = [
  {
    name: 'unusual',
    version: '1.2_rc1-r3',
    arch: 'noarch',
    depends: [
      'a>=1',
      'b=~1.2',
      'k~=2',
      'l=>3',
      'm=<3',
      'n  o',
      'c<2',
      'd>1-r3',
      '!e',
      'so:libx.so.1',
      'cmd:y',
      'f~3',
      '!g<2',
      'a>=1',
    ],
    provides: ['cmd:z=1', 'so:q.so.1=1.2', 'virtual'],
    installIf: ['h', 'i=2'],
    pkginfo: ['provider_priority = 10', 'replaces = j', 'commit = 0123abcd-dirty'],
    triggers: ['/usr/bin'],
  },
  { name: 'plain', scheme: 'RSA' },
];

describe.skipIf(reason)(`apk-tools 2.14${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
  it('indexes packages with the same lines', () => {
    const apk = bootstrapApk();
    const directory = temporaryDirectory();
    const files = requests.map((request) => {
      const path = join(directory, `${request.name}.apk`);
      writeFileSync(path, buildApk(request, key));
      return path;
    });
    apk([
      'index',
      '--no-warnings',
      '--rewrite-arch',
      'aarch64',
      '-o',
      join(directory, 'index.tar.gz'),
      ...files,
    ]);
    const written = gunzipSync(readFileSync(join(directory, 'index.tar.gz'))).toString();
    for (const path of files) {
      const apkFile = verifyPackage(readFileSync(path), { label: path, keys: [key.public], setuid: [] });
      expect(written).toContain(`${indexEntryOf(apkFile, 'aarch64')}\n\n`);
    }
  });

  it('verifies and installs what the tests build, scripts and triggers too, out of indexes that we sign', () => {
    const apk = bootstrapApk();
    const [repository, root] = [join(temporaryDirectory(), 'v1/main'), temporaryDirectory()];
    const tool = buildApk(
      {
        name: 'tool',
        depends: ['busybox-binsh', 'library>=2'],
        files: {
          'usr/bin/tool': { content: '#!/bin/sh\n', mode: 0o755 },
          'usr/bin/link': { link: 'tool' },
          'usr/bin/hard': { hardlink: 'usr/bin/tool' },
          [`usr/share/${'long-'.repeat(30)}`]: 'long\n',
          'var/private/': { mode: 0o700 },
        },
        scripts: {
          '.post-install': '#!/bin/sh\necho installed > /post-install\n',
          '.trigger': '#!/bin/sh\necho "$@" > /trigger\n',
        },
        triggers: ['/usr/bin'],
      },
      key,
    );
    const from = temporaryDirectory();
    mkdirSync(join(from, 'usr/lib'), { recursive: true });
    writeFileSync(join(from, 'usr/lib/library'), 'from a directory', { mode: 0o640 });
    writeRepository(
      repository,
      [tool, buildApk({ name: 'library', version: '2-r0', from, scheme: 'RSA' }, key)],
      key,
    );
    // Alpine's own packages, under an index of ours.
    const mirror = join(temporaryDirectory(), 'v1/main');
    mkdirSync(mirror, { recursive: true });
    execFileSync('cp', ['-r', join(alpine, 'x86_64'), mirror]);
    const theirs = join(mirror, 'x86_64/APKINDEX.tar.gz');
    const entries = readIndex(readFileSync(theirs), { label: theirs, keys: alpineKeys() });
    writeFileSync(
      theirs,
      writeIndex(
        entries.map(({ text }) => text),
        { description: 'copy', key: key.signing },
      ),
    );

    apk(['verify', join(repository, 'x86_64/tool-1.0-r0.apk'), join(repository, 'x86_64/library-2-r0.apk')]);
    const settings = ['--repositories-file', '/dev/null', '--arch', 'x86_64', '--no-cache'];
    const repositories = ['--repository', repository, '--repository', mirror];
    apk(['--root', root, ...settings, ...repositories, '--initdb', 'add', 'tool']);

    const read = (path: string): string => readFileSync(join(root, path), 'utf8');
    expect([read('post-install'), read('trigger')]).toEqual(['installed\n', '/usr/bin\n']);
    expect(read('usr/bin/link')).toBe('#!/bin/sh\n');
    expect(statSync(join(root, 'usr/bin/hard')).ino).toBe(statSync(join(root, 'usr/bin/tool')).ino);
    expect(read(`usr/share/${'long-'.repeat(30)}`)).toBe('long\n');
    expect(statSync(join(root, 'var/private')).mode & 0o7777).toBe(0o700);
    expect(read('usr/lib/library')).toBe('from a directory');
    expect(statSync(join(root, 'usr/lib/library')).mode & 0o7777).toBe(0o640);
    expect(apk(['--root', root, ...settings, 'audit', '--system'])).not.toContain('usr/');
  });
});
