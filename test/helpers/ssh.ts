import { mkdtemp, readFile } from 'node:fs/promises';
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';

export interface KeyPair {
  /** Path of the private key. */
  privateKey: string;
  /** Path of the public key, as `--ssh-key` takes it. */
  publicKey: string;
  /** The public key's line, without a newline. */
  line: string;
}

export interface SshTarget {
  /** 127.0.0.1 by default. */
  address?: string;
  port: number;
  key: KeyPair;
  /** root by default. */
  user?: string;
}

export interface SshOutput {
  stdout: string;
  stderr: string;
  /** The remote command's; 255 where the connection broke. */
  exitCode: number;
}

let runsKey: Promise<KeyPair> | undefined;

/** The key pair of this test run, made when it is first asked for, removed when the process ends. */
export function testKeyPair(): Promise<KeyPair> {
  runsKey ??= createKeyPair();
  return runsKey;
}

async function createKeyPair(): Promise<KeyPair> {
  const directory = await mkdtemp(join(tmpdir(), 'treeline-key-'));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  const privateKey = join(directory, 'id_ed25519');
  await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'treeline-test', '-f', privateKey]);
  const publicKey = `${privateKey}.pub`;
  return { privateKey, publicKey, line: (await readFile(publicKey, 'utf8')).trim() };
}

/**
 * Runs one command in a guest. A connection that cannot be made is tried again until `timeoutMs` is over; one that
 * breaks later (a reboot) is not: its exit code is 255. Other exit codes are the command's; none is thrown.
 */
export async function runOverSsh(
  target: SshTarget,
  command: string,
  { timeoutMs = 300_000, input = '' }: { timeoutMs?: number; input?: string } = {},
): Promise<SshOutput> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const left = deadline - Date.now();
    const result = await execa('ssh', [...sshOptions(target), command], {
      input,
      reject: false,
      stripFinalNewline: false,
      timeout: Math.max(1000, left),
      killSignal: 'SIGKILL',
    });
    const { stdout, stderr, exitCode } = result;
    if (result.timedOut) {
      throw new Error(`ssh: no end of "${command}" within ${timeoutMs} ms\n${stdout}${stderr}`);
    }
    if (exitCode !== 255 || !neverConnected.test(stderr))
      return { stdout, stderr, exitCode: exitCode ?? 255 };
    if (Date.now() + 500 > deadline)
      throw new Error(`ssh: no connection within ${timeoutMs} ms: ${stderr.trim()}`);
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}

/** What OpenSSH says before the guest has let us in; a refused key is no reason to try again. */
const neverConnected =
  /^(ssh: connect to host|kex_exchange_identification|Connection timed out during banner|Connection (closed|reset) by \S+ port|ssh_dispatch_run_fatal)/m;

function sshOptions({ address = '127.0.0.1', port, key, user = 'root' }: SshTarget): string[] {
  const options = {
    StrictHostKeyChecking: 'no',
    UserKnownHostsFile: '/dev/null',
    GlobalKnownHostsFile: '/dev/null',
    IdentitiesOnly: 'yes',
    BatchMode: 'yes',
    LogLevel: 'ERROR',
    // Under QEMU's network a connection is accepted before the guest listens; this also limits the wait for its greeting.
    ConnectTimeout: '20',
    ServerAliveInterval: '5',
    ServerAliveCountMax: '6',
  };
  const words = Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  return ['-F', 'none', ...words, '-i', key.privateKey, '-p', String(port), `${user}@${address}`];
}
