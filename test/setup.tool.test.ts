import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { temporaryDirectory } from './helpers/host.ts';
import { lacks } from './helpers/needs.ts';

const home = join(import.meta.dirname, '..');
const missing = lacks({ programs: ['ostree', 'qemu-system-x86_64', 'lxc-start', 'mksquashfs'], root: true });

it.skipIf(missing)('setup records the default base in a file that a second run leaves alone', () => {
  const workspace = temporaryDirectory();
  const setUp = (): string =>
    execFileSync(join(home, 'scripts/setup'), ['--workspace', workspace], { encoding: 'utf8' });
  expect(setUp()).toContain('nothing is missing');
  const file = join(workspace, 'treeline.yaml');
  expect(readFileSync(file, 'utf8')).toMatch(/^base: debian$/m);
  writeFileSync(file, 'base: debian-12\n');
  const before = statSync(file).mtimeMs;
  setUp();
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
