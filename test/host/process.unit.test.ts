import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { TreelineError } from '../../src/host/errors.ts';
import { silentLog } from '../../src/host/log.ts';
import { startProcess } from '../../src/host/process.ts';

const shell = (script: string) => ({ program: 'sh', args: ['-c', script] });

/** Starts a script, and waits until it has said something. */
async function startTalking(script: string, signal = new AbortController().signal) {
  let said = '';
  let heard: () => void = () => {};
  const talking = new Promise<void>((resolve) => {
    heard = resolve;
  });
  const onOutput = (text: string): void => {
    said += text;
    heard();
  };
  const child = startProcess(shell(script), { log: silentLog, signal, onOutput });
  await talking;
  return { child, said: () => said };
}

/** Its arguments; none where it has ended, even if nobody has asked how. */
function argumentsOf(id: string): string {
  try {
    return readFileSync(`/proc/${id}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

describe('a program that goes on', () => {
  it('hands on what it says, and tells how it ended', async () => {
    const { child, said } = await startTalking('echo out; echo err >&2; exit 3');
    expect(await child.ended).toMatchObject({ how: 'exit code 3', stderr: 'err' });
    expect(said()).toBe('out\n');
  });

  it('ends with all that it started, and may be ended twice', async () => {
    const { child, said } = await startTalking('sleep 1000 & echo $!; wait');
    await child.kill();
    await child.kill();
    expect(await child.ended).toMatchObject({ how: 'ended by SIGKILL' });
    await expect.poll(() => argumentsOf(said().trim())).toBe('');
  });

  it('ends when the user stops the command', async () => {
    const stop = new AbortController();
    const { child } = await startTalking('echo here; exec sleep 1000', stop.signal);
    stop.abort(new TreelineError('cancelled', 'enough'));
    expect(await child.ended).toMatchObject({ how: 'ended by SIGKILL' });
    expect(() => startProcess(shell('true'), { log: silentLog, signal: stop.signal })).toThrow('enough');
  });

  it('is named where it is not installed', () => {
    const { signal } = new AbortController();
    expect(() => startProcess({ program: 'no-such-program', args: [] }, { log: silentLog, signal })).toThrow(
      'Cannot run no-such-program: not installed on this machine',
    );
  });
});
