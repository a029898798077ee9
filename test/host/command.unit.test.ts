import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execFileSync } from 'node:child_process';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Command } from '../../src/host/command.ts';
import { commandLine } from '../../src/host/command.ts';
import { errorOf, temporaryDirectory, temporaryHost } from '../helpers/host.ts';

const shell = (script: string, rest: Partial<Command> = {}): Command => ({
  program: 'sh',
  args: ['-c', script],
  ...rest,
});

describe('the line of a command', () => {
  it('leaves plain words as they are', () => {
    expect(commandLine({ program: 'ostree', args: ['--repo=/a/b', 'show', 'x@y:1,2%3+4'] })).toBe(
      'ostree --repo=/a/b show x@y:1,2%3+4',
    );
  });

  it('gives a shell exactly the words that the program got', () => {
    const words = ['', "it's", 'a b', '$HOME', '`id`', '"', '*', '~', '\\', 'line\nbreak', '# no', '-x'];
    const line = commandLine({ program: 'printf', args: [String.raw`%s\0`, ...words] });
    const seen = execFileSync('sh', ['-c', line], { encoding: 'utf8' }).split('\0').slice(0, -1);
    expect(seen).toEqual(words);
  });

  it('shows variables, a file and pipes so that they can be pasted', () => {
    const directory = temporaryDirectory();
    const output = join(directory, 'out put');
    const line = commandLine({
      program: 'sh',
      args: ['-c', 'echo "$WORD"; echo b; echo a'],
      env: { WORD: 'c d' },
      pipeTo: [{ program: 'sort', args: [] }],
      outputFile: output,
    });
    execFileSync('sh', ['-c', line]);
    expect(readFileSync(output, 'utf8')).toBe('a\nb\nc d\n');
  });
});

describe('running a command', () => {
  it('gives its output, unchanged to the last newline, and writes line and output to the log', async () => {
    const host = temporaryHost();
    const output = await host.run(shell(String.raw`printf 'one\n\n'; echo two >&2`));
    expect(output).toEqual({ stdout: 'one\n\n', stderr: 'two\n', exitCode: 0 });
    const log = readFileSync(host.log.path, 'utf8');
    expect(log).toContain(String.raw`+ sh -c 'printf '\''one\n\n'\''; echo two >&2'`);
    expect(log).toMatch(/^ +[\d.]+ {3}one$/m);
    expect(log).toMatch(/^ +[\d.]+ {3}two$/m);
  });

  it('inherits nothing of the environment but the home directory', async () => {
    process.env['TREELINE_SECRET'] = 'x';
    const path = process.env['PATH'];
    process.env['PATH'] = `/nowhere:${path}`;
    onTestFinished(() => {
      delete process.env['TREELINE_SECRET'];
      process.env['PATH'] = path;
    });
    const { stdout } = await temporaryHost().run({ program: 'env', args: [], env: { EXTRA: '1' } });
    expect(stdout.split('\n').filter(Boolean).toSorted()).toEqual([
      'EXTRA=1',
      `HOME=${process.env['HOME'] ?? '/root'}`,
      'LC_ALL=C.UTF-8',
      'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      'TZ=UTC',
    ]);
  });

  it('closes standard input where none is given', async () => {
    expect((await temporaryHost().run({ program: 'cat', args: [] })).stdout).toBe('');
  });

  it('feeds text to standard input', async () => {
    const host = temporaryHost();
    expect((await host.run({ program: 'cat', args: [], input: 'from text' })).stdout).toBe('from text');
  });

  it('fails with what it was doing, the program, its exit code, its last lines and the hint', async () => {
    const error = await errorOf(
      temporaryHost().run(
        shell('seq 1 100 >&2; echo unheard; exit 3', { doing: 'count to 100', hint: 'Count less.' }),
      ),
    );
    expect(error.code).toBe('command');
    expect(error.message).toBe('Cannot count to 100: sh failed (exit code 3)');
    expect(error.hint).toBe('Count less.');
    expect(error.output?.split('\n')).toEqual(Array.from({ length: 40 }, (_, line) => `${line + 61}`));
  });

  it('hints at the line to paste where the caller has no better hint', async () => {
    const error = await errorOf(temporaryHost().run(shell('echo said on stdout; exit 1')));
    expect(error.message).toBe('Cannot run sh: sh failed (exit code 1)');
    expect(error.hint).toBe("The command was: sh -c 'echo said on stdout; exit 1'");
    expect(error.output).toBe('said on stdout');
  });

  it('tells the signal that ended a program', async () => {
    const error = await errorOf(temporaryHost().run(shell('kill -SEGV $$')));
    expect(error.message).toBe('Cannot run sh: sh failed (ended by SIGSEGV)');
  });

  it('takes only the accepted exit codes for success', async () => {
    const host = temporaryHost();
    expect((await host.run(shell('exit 7', { accept: [0, 7] }))).exitCode).toBe(7);
    expect((await errorOf(host.run(shell('exit 0', { accept: [7] })))).message).toContain('exit code 0');
  });

  it('names the package of a tool that is missing, and the program itself where no package is known', async () => {
    const host = temporaryHost();
    const error = await errorOf(host.run({ program: 'treeline-no-such-tool', args: [] }));
    expect(error.code).toBe('host');
    expect(error.message).toBe('Cannot run treeline-no-such-tool: not installed on this machine');
    expect(error.hint).toMatch(/(apt-get install|apk add) treeline-no-such-tool$/);
  });
});

describe('a chain of commands', { timeout: 60_000 }, () => {
  it('gives the last one’s output, in a file where one is named', async () => {
    const host = temporaryHost();
    const outputFile = join(host.workspace.root, 'output');
    const chain = shell('seq 1 200000', {
      pipeTo: [
        { program: 'sort', args: ['-rn'] },
        { program: 'tail', args: ['-n', '2'] },
      ],
    });
    expect((await host.run(chain)).stdout).toBe('2\n1\n');
    expect((await host.run({ ...chain, outputFile })).stdout).toBe('');
    expect(readFileSync(outputFile, 'utf8')).toBe('2\n1\n');
  });

  it('fails where the first link fails although the last one is content', async () => {
    const error = await errorOf(
      temporaryHost().run(
        shell('echo half; echo broken >&2; exit 4', {
          pipeTo: [{ program: 'cat', args: [] }],
          doing: 'copy it',
        }),
      ),
    );
    expect(error.message).toBe('Cannot copy it: sh failed (exit code 4)');
    expect(error.output).toBe('broken');
    expect(error.hint).toMatch(/\| cat$/);
  });

  it('fails at once where the last link fails while the first one still has much to say', async () => {
    const endless: Command = { program: 'cat', args: ['/dev/zero'], doing: 'pack it' };
    const failing = shell('head -c 10 >/dev/null; echo full up >&2; exit 5');
    const host = temporaryHost();
    const guard = setTimeout(() => host.stop(), 5000);
    const error = await errorOf(host.run({ ...endless, pipeTo: [failing] }));
    clearTimeout(guard);
    expect(error.message).toBe('Cannot pack it: sh failed (exit code 5)');
    expect(error.output).toBe('full up');
  });
});

describe('stopping', () => {
  it('ends the whole process group, grandchildren too', async () => {
    const host = temporaryHost();
    const pids = join(host.workspace.root, 'pids');
    const work = errorOf(
      host.run(shell(`(echo $$; sh -c 'echo $$; sleep 1000 & echo $!; wait') > ${pids}; wait`)),
    );
    const read = (): number[] =>
      existsSync(pids) ? readFileSync(pids, 'utf8').split('\n').filter(Boolean).map(Number) : [];
    await waitFor(() => read().length === 3);
    expect(read().every(isAlive)).toBe(true);
    host.stop();
    expect((await work).code).toBe('cancelled');
    await waitFor(() => !read().some(isAlive));
  });

  it('ends every link of a chain', async () => {
    const host = temporaryHost();
    const work = errorOf(
      host.run({
        program: 'cat',
        args: ['/dev/zero'],
        pipeTo: [{ program: 'cat', args: [] }],
        outputFile: '/dev/null',
      }),
    );
    await sleep(100);
    host.stop();
    expect((await work).code).toBe('cancelled');
  });

  it('starts nothing any more', async () => {
    const host = temporaryHost();
    host.stop();
    const trace = join(host.workspace.root, 'trace');
    expect((await errorOf(host.run({ program: 'touch', args: [trace] }))).code).toBe('cancelled');
    expect(existsSync(trace)).toBe(false);
  });
});

async function waitFor(condition: () => boolean): Promise<void> {
  for (const end = Date.now() + 50_000; !condition();) {
    if (Date.now() > end) throw new Error('did not happen within 10 s');
    await sleep(20);
  }
}

/** A zombie is dead: its parent has not yet asked after it. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
