import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readSettings } from '../../src/cli/settings.ts';
import { errorOf, temporaryDirectory } from '../helpers/host.ts';

const file = (text: string): string => {
  const path = join(temporaryDirectory(), 'treeline.yaml');
  writeFileSync(path, text);
  return path;
};

describe('treeline.yaml', () => {
  it('may be missing, empty, or hold nothing but a comment', async () => {
    expect(await readSettings('/nonexistent/treeline.yaml')).toEqual({});
    expect(await readSettings(file(''))).toEqual({});
    expect(await readSettings(file('# base: debian\n'))).toEqual({});
  });

  it('gives what stands in it', async () => {
    const text =
      'base: debian\nservices: [web, sshd-]\nkeep: 5\nflat: true\nupdate-url: https://x.example/y\n';
    expect(await readSettings(file(text))).toEqual({
      base: 'debian',
      services: ['web', 'sshd-'],
      keep: 5,
      flat: true,
      'update-url': 'https://x.example/y',
    });
  });

  it.each([
    [
      'an unknown setting',
      'base: debian\nservcies: [web]\n',
      ':2: unknown setting servcies; did you mean services?',
    ],
    ['a value of the wrong kind', 'base: debian\n\nkeep: many\n', ':3: keep: '],
    ['a number that is too small', 'keep: 0\n', ':1: keep: '],
    ['a wrong item of a list', 'services:\n  - web\n  - 7\n', ':3: services.1: '],
    ['a URL that is none', 'update-url: ftp://x\n', ':1: update-url: '],
    ['a line that is no YAML', 'base: debian\nkeep: [1\n', ':'],
    ['a setting that stands twice', 'base: a\nbase: b\n', ':2: '],
    ['text alone', 'hello\n', ''],
    ['a list', '- base\n', ''],
    ['an alias of nothing', 'base: *nothing\n', ''],
  ])('is refused with %s, by file and line', async (_title, text, where) => {
    const path = file(text);
    const error = await errorOf(readSettings(path));
    expect(error.code).toBe('usage');
    expect(error.message).toContain(`Cannot use the settings: ${path}${where}`);
    expect(error.hint).toContain(path);
  });

  it('is refused with all its mistakes at once', async () => {
    const error = await errorOf(readSettings(file('keep: x\nflat: y\nnonsense: 1\n')));
    expect(error.message).toMatch(/keep: .*flat: .*nonsense/);
  });
});
