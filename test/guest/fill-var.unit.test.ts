import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { busybox, busyboxInstalled, library } from './busybox.ts';

let root: string;
const at = (path: string): string => join(root, path);
const put = (path: string, text: string): void => {
  mkdirSync(join(at(path), '..'), { recursive: true });
  writeFileSync(at(path), text);
};
const fill = () => busybox(['sh', join(library, 'fill-var'), root]);
const quiet = { status: 0, stdout: '', stderr: '' };

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'treeline-var-'));
  mkdirSync(at('var'));
  const owner = `${process.getuid?.()}:${process.getgid?.()}`;
  put(
    'usr/lib/treeline/var.list',
    `# path, mode, owner\n\n/var/log 0755 ${owner}\n/var/lib 0755 ${owner}\n/var/lib/own 0700 ${owner}\n/var/tmp 1777 ${owner}\n`,
  );
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

describe.skipIf(!busyboxInstalled)('fill-var (skipped where busybox is not installed)', () => {
  it('makes the directories that are missing, with their modes', () => {
    expect(fill()).toEqual(quiet);
    expect(readdirSync(at('var')).toSorted()).toEqual(['lib', 'log', 'tmp']);
    expect(statSync(at('var/lib/own')).mode & 0o7777).toBe(0o700);
    expect(statSync(at('var/tmp')).mode & 0o7777).toBe(0o1777);
  });

  it('copies what the image brings, but overwrites nothing', () => {
    put('usr/share/factory/var/lib/own/new', 'from the image');
    put('usr/share/factory/var/lib/own/kept', 'from the image');
    put('var/lib/own/kept', 'mine');
    expect(fill()).toEqual(quiet);
    expect(readFileSync(at('var/lib/own/new'), 'utf8')).toBe('from the image');
    expect(readFileSync(at('var/lib/own/kept'), 'utf8')).toBe('mine');
    put('usr/share/factory/var/lib/.hidden/deep', 'later');
    expect(fill()).toEqual(quiet);
    expect(readFileSync(at('var/lib/.hidden/deep'), 'utf8')).toBe('later');
  });

  it('leaves links alone, also those that lead nowhere', () => {
    symlinkSync('nowhere', at('var/log'));
    mkdirSync(at('usr/share/factory/var/log/deep'), { recursive: true });
    expect(fill()).toEqual(quiet);
    expect(lstatSync(at('var/log')).isSymbolicLink()).toBe(true);
    expect(readlinkSync(at('var/log'))).toBe('nowhere');
  });

  it('copies links as links, and puts no directory in the place of a file', () => {
    mkdirSync(at('usr/share/factory/var/lib/own'), { recursive: true });
    symlinkSync('../elsewhere', at('usr/share/factory/var/lib/link'));
    put('usr/share/factory/var/lib/own/a/b', 'from the image');
    put('var/lib/own/a', 'mine');
    expect(fill()).toEqual(quiet);
    expect(readlinkSync(at('var/lib/link'))).toBe('../elsewhere');
    expect(readFileSync(at('var/lib/own/a'), 'utf8')).toBe('mine');
  });

  it('says so where it cannot write', () => {
    writeFileSync(at('var/lib'), 'a file in the way');
    const { status, stderr } = fill();
    expect(status).toBe(1);
    expect(stderr).toContain('var/lib');
  });
});
