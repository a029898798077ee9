import { lstatSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readPublicKeys, seedState } from '../../src/image/seed.ts';
import type { Sysroot } from '../../src/ostree/sysroot.ts';
import { errorOf, temporaryDirectory, temporaryHost } from '../helpers/host.ts';
import { layFiles } from '../helpers/trees.ts';

const key = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ me@here';

const file = (text: string): string => {
  const path = join(temporaryDirectory(), 'key.pub');
  writeFileSync(path, text);
  return path;
};

describe('public keys', () => {
  it.each([
    ['one key', `${key}\n`, [key]],
    [
      'several, comments and blank lines between them',
      `# mine\n\n${key}\n  ssh-rsa AAAA x\n`,
      [key, 'ssh-rsa AAAA x'],
    ],
    ['Windows’ line ends', `${key}\r\n`, [key]],
    ['a key on a token', 'sk-ssh-ed25519@openssh.com AAAA x\n', ['sk-ssh-ed25519@openssh.com AAAA x']],
    ['an ecdsa key without a comment', 'ecdsa-sha2-nistp256 AAAA=\n', ['ecdsa-sha2-nistp256 AAAA=']],
  ])('are read from a file with %s', async (_title, text, keys) => {
    expect(await readPublicKeys([file(text)])).toEqual(keys);
  });

  it('of several files come in their order', async () => {
    expect(await readPublicKeys([file('ssh-rsa BBBB b\n'), file(`${key}\n`)])).toEqual([
      'ssh-rsa BBBB b',
      key,
    ]);
    expect(await readPublicKeys([])).toEqual([]);
  });

  it.each([
    [
      'a private key',
      '-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n-----END',
      'it is a private key',
      '.pub',
    ],
    ['nothing', '', 'it holds no public ssh key', 'ssh-ed25519'],
    ['something else', 'hello\n', 'it holds no public ssh key', ''],
  ])('are refused where the file holds %s, whose text is not shown', async (_title, text, message, hint) => {
    const path = file(text);
    const error = await errorOf(readPublicKeys([path]));
    expect(error.code).toBe('usage');
    expect(error.message).toBe(`Cannot use the ssh key ${path}: ${message}`);
    expect(error.hint).toContain(hint);
    expect(JSON.stringify([error.message, error.hint, error.output ?? ''])).not.toContain('c2VjcmV0');
  });

  it('are refused where there is no such file', async () => {
    const error = await errorOf(readPublicKeys(['/nonexistent/key.pub']));
    expect(error.message).toBe('Cannot read the ssh key /nonexistent/key.pub: there is no such file');
    expect(error.hint).toContain('--ssh-key FILE');
  });
});

describe('the state of a new system', () => {
  function sysroot(): Sysroot {
    const directory = temporaryDirectory();
    const [deployment, state] = [join(directory, 'deployment'), join(directory, 'var')];
    layFiles(deployment, {
      'usr/share/factory/var/lib/db': 'seed',
      'usr/share/factory/var/lock': { link: '/run/lock' },
    });
    mkdirSync(join(deployment, 'usr/share/factory/var/roothome'), { mode: 0o700 });
    mkdirSync(join(deployment, 'usr/share/factory/var/tmp'));
    mkdirSync(state);
    return { directory, deployment, state };
  }

  it('is a copy of what the tree ships, modes and links kept, not a link to it', async () => {
    const made = sysroot();
    await seedState(temporaryHost(), made, []);
    expect(readFileSync(join(made.state, 'lib/db'), 'utf8')).toBe('seed');
    expect(statSync(join(made.state, 'lib/db')).nlink).toBe(1);
    expect(lstatSync(join(made.state, 'lock')).isSymbolicLink()).toBe(true);
    expect(statSync(join(made.state, 'roothome')).mode & 0o7777).toBe(0o700);
    expect(() => statSync(join(made.state, 'roothome/.ssh'))).toThrow('ENOENT');
  });

  it('lets the keys’ owners in as root, and shows the keys to nobody else', async () => {
    const made = sysroot();
    await seedState(temporaryHost(), made, [key, 'ssh-rsa BBBB b']);
    const path = join(made.state, 'roothome/.ssh/authorized_keys');
    expect(readFileSync(path, 'utf8')).toBe(`${key}\nssh-rsa BBBB b\n`);
    expect([path, join(path, '..')].map((place) => statSync(place).mode & 0o7777)).toEqual([0o600, 0o700]);
  });

  it('does not put keys on this machine where the tree’s .ssh is a link', async () => {
    const made = sysroot();
    const outside = temporaryDirectory();
    layFiles(join(made.deployment, 'usr/share/factory/var'), { 'roothome/.ssh': { link: outside } });
    await seedState(temporaryHost(), made, [key]).catch(() => undefined);
    expect(() => statSync(join(outside, 'authorized_keys'))).toThrow('ENOENT');
  });
});
