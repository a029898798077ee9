import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { SerialShell } from '../../src/prove/serial-shell.ts';

const agent = join(import.meta.dirname, '../../overlays/prove/rootfs/etc/treeline-prove');
const busyboxInstalled = spawnSync('busybox', ['true']).status === 0;

/** The program that guests run, on the other end of a connection, as on a serial line. */
async function startShell(): Promise<SerialShell> {
  const { ours, theirs } = await connectedSockets();
  const child = spawn('busybox', ['sh', agent], { stdio: ['pipe', 'pipe', 'inherit'] });
  theirs.pipe(child.stdin);
  child.stdout.pipe(theirs);
  const shell = new SerialShell(ours);
  onTestFinished(() => {
    shell.close();
    child.kill();
  });
  return shell;
}

async function connectedSockets(): Promise<{ ours: Socket; theirs: Socket }> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const ours = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [theirs] = await accepted;
  server.close();
  return { ours, theirs };
}

describe.skipIf(!busyboxInstalled)(
  'commands over the serial line (skipped where busybox is not installed)',
  () => {
    it('give output of both kinds, and the exit code', async () => {
      const shell = await startShell();
      await shell.ready;
      expect(await shell.run('echo out; echo err >&2; exit 7')).toEqual({ output: 'out\nerr', exitCode: 7 });
      expect(await shell.run('true')).toEqual({ output: '', exitCode: 0 });
    });

    it('may hold quotes, line ends and other letters, and say more than a line', async () => {
      const shell = await startShell();
      await shell.ready;
      const text = `it's "ä"\nprove 1 0 \n`;
      const { output } = await shell.run(`printf '%s' '${text.replaceAll("'", String.raw`'\''`)}'; seq 3000`);
      expect(output).toBe(`${text}${Array.from({ length: 3000 }, (_, index) => index + 1).join('\n')}`);
    });

    it('do not read what comes behind them, and do not disturb each other', async () => {
      const shell = await startShell();
      await shell.ready;
      const both = [shell.run('cat; echo first'), shell.run('echo second')];
      expect((await Promise.all(both)).map(({ output }) => output)).toEqual(['first', 'second']);
    });

    it('survive a command that leaves something running', async () => {
      const shell = await startShell();
      await shell.ready;
      const started = await shell.run('sleep 1000 >/dev/null 2>&1 & echo $!');
      expect(started).toEqual({ output: expect.stringMatching(/^\d+$/), exitCode: 0 });
      const { output } = await shell.run(`kill ${started.output} && echo alive`);
      expect(output).toBe('alive');
    });
  },
);

describe.skipIf(!busyboxInstalled)('a port that firmware wrote to', () => {
  it('is ready all the same', async () => {
    const { ours, theirs } = await connectedSockets();
    const shell = new SerialShell(ours);
    theirs.write('\u001B[2JBdsDxe: starting Boot0001');
    theirs.write(spawnSync('busybox', ['sh', agent], { input: '' }).stdout);
    await shell.ready;
    shell.close();
    theirs.destroy();
    expect(ours.destroyed).toBe(true);
  });
});

describe('what is no answer', () => {
  it('does not count', async () => {
    const { ours, theirs } = await connectedSockets();
    const shell = new SerialShell(ours);
    onTestFinished(() => {
      shell.close();
      theirs.destroy();
    });
    const answer = shell.run('echo x');
    theirs.write('prove ready\r\nlogin: prove 1 0 eA==\nprove 7 0 eA==\nprove 1 0 !\n');
    await shell.ready;
    theirs.write('prove 1 3 b2');
    theirs.write('s=\r\n');
    expect(await answer).toEqual({ output: 'ok', exitCode: 3 });
  });
});
