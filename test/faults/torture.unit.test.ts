import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const script = join(import.meta.dirname, '../../scripts/torture.mjs');
const torture = (...words: string[]) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...words], { encoding: 'utf8' });
  return { status, stdout, stderr };
};

describe('npm run torture', () => {
  it('prints its help, and begins nothing', () => {
    const { status, stdout, stderr } = torture('--help');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    for (const option of ['--hours N', '--count N', '--losses N', '--kills N', '--seed N', '--keep DIR'])
      expect(stdout).toContain(option);
    expect(stdout).not.toMatch(/^seed /m);
  });

  it.each([
    [['--hurs', '3'], 'there is no option --hurs'],
    [['--hours', 'x'], '--hours takes a number of hours, not "x"'],
    [['--hours', '0'], '--hours takes a number of hours, not "0"'],
    [['--count', '1.5'], '--count takes a whole number, not "1.5"'],
    [['power-cat'], 'no file of test/faults has power-cat in its name'],
  ])('refuses %j with the reason', (words, reason) => {
    const { status, stdout, stderr } = torture(...words);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain(`error: Cannot begin the torture: ${reason}`);
    expect(stderr).toContain('npm run torture -- --help');
  });
});
