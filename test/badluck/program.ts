import { join } from 'node:path';
import { execa } from 'execa';
import { expect } from 'vitest';

/** The checkout. */
export const checkout = join(import.meta.dirname, '../..');

export interface Ended {
  exitCode: number;
  stdout: string;
  stderr: string;
}

export interface How {
  cwd?: string;
  env?: Record<string, string>;
  /** A program and its arguments that run ours: `unshare --net`. */
  under?: readonly string[];
}

export const script = (name: string): string => join(checkout, 'scripts', `${name}.mjs`);

/** Runs what `npm run NAME -- OPTIONS` runs. */
export async function runProgram(name: string, options: readonly string[], how: How = {}): Promise<Ended> {
  const [program, ...args] = [...(how.under ?? []), process.execPath, script(name), ...options];
  const result = await execa(program!, args, {
    cwd: how.cwd ?? checkout,
    env: { ...how.env },
    reject: false,
    stdin: 'ignore',
  });
  return { exitCode: result.exitCode ?? 255, stdout: result.stdout, stderr: result.stderr };
}

/**
 * Asserts that a command was refused as people deserve it: exit code (2: wrong usage), one message that begins "Cannot"
 * and holds `says`, the way out with `hint`, and no stack trace.
 */
export function expectRefusal(
  ended: Ended,
  expected: { exitCode: number; says: readonly string[]; hint: readonly string[] },
): void {
  const { exitCode, stdout, stderr } = ended;
  expect(`${stdout}\n${stderr}`).not.toMatch(/\n\s+at .*[(:]|bug in Treeline|node:internal/);
  expect(stderr).toMatch(/^error: Cannot /);
  const [message = '', hint = ''] = stderr.split('\nhint: ');
  for (const words of expected.says) expect(message).toContain(words);
  for (const words of expected.hint) expect(hint).toContain(words);
  expect(exitCode).toBe(expected.exitCode);
}

/** Asserts that a command did its work. */
export function expectSuccess({ exitCode, stdout, stderr }: Ended): void {
  if (exitCode !== 0) throw new Error(`exit code ${exitCode}\n${stdout}\n${stderr}`);
}
