import { closeSync, existsSync, openSync, readSync, rmSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import { execa, execaSync } from 'execa';
import { GuestConsole } from './console.ts';

export interface ContainerOptions {
  /** The root directory; the container writes to it. */
  rootfs: string;
  /** Lines of LXC configuration behind ours: `lxc.cap.drop = sys_admin`. */
  config?: readonly string[];
  /** Maps root to this user id, and 65,535 more; the rootfs must belong to them (shiftOwners). No mapping by default. */
  firstId?: number;
}

export interface AttachOutput {
  stdout: string;
  stderr: string;
  exitCode: number;
}

export interface Container {
  /** Everything that came from the console so far, over all its starts. */
  readonly output: string;
  /** Waits for text on the console, behind what the last call found; rejects with the console's end. */
  waitFor(marker: string | RegExp, timeoutMs?: number): Promise<RegExpExecArray>;
  /** Runs a shell command inside and gives its output whatever its exit code. */
  attach(command: string, options?: { timeoutMs?: number }): Promise<AttachOutput>;
  /** Standard output, trimmed, of a shell command that must succeed. */
  attachText(command: string, options?: { timeoutMs?: number }): Promise<string>;
  /** `RUNNING`, `STOPPED`, … as lxc-info says. */
  state(): Promise<string>;
  /** Waits until it has stopped. */
  waitStopped(timeoutMs?: number): Promise<void>;
  /** Starts it again after it stopped. */
  start(): Promise<void>;
  /** Asks its init to power off, and kills it where that takes too long. */
  stop(timeoutMs?: number): Promise<void>;
  /** Ends it and removes all but the rootfs. May be called more than once. */
  destroy(): Promise<void>;
}

/**
 * Starts a system container from a root directory, without network, in an lxcpath of its own. It ends with this process
 * at the latest. Needs root.
 */
export async function startContainer(options: ContainerOptions): Promise<Container> {
  const lxcPath = await mkdtemp(join(tmpdir(), 'treeline-lxc-'));
  const name = 'guest';
  const where = ['--lxcpath', lxcPath, '--name', name];
  // The container's root must get through to its directory.
  await chmod(lxcPath, 0o755);
  const consoleFile = join(lxcPath, 'console');
  const logFile = join(lxcPath, 'log');
  await mkdir(join(lxcPath, name));
  await writeFile(join(lxcPath, name, 'config'), containerConfig(options, consoleFile));

  const guest = new GuestConsole();
  const follower = followFile(consoleFile, (text) => guest.add(text));
  let destroyed = false;
  const kill = (): void => void execaSync('lxc-stop', [...where, '--kill'], { reject: false });
  const atExit = (): void => {
    kill();
    rmSync(lxcPath, { recursive: true, force: true });
  };
  process.on('exit', atExit);

  const attach: Container['attach'] = async (command, { timeoutMs = 240_000 } = {}) => {
    const result = await execa(
      'lxc-attach',
      [...where, '--clear-env', '--set-var', 'PATH=/usr/sbin:/usr/bin', '--', '/bin/sh', '-c', command],
      { reject: false, stdin: 'ignore', timeout: timeoutMs },
    );
    if (result.timedOut) throw new Error(`${command}: still runs after ${timeoutMs} ms\n${guest.tail()}`);
    return { stdout: result.stdout, stderr: result.stderr, exitCode: result.exitCode ?? 255 };
  };
  const waitState = async (state: string, timeoutMs: number): Promise<boolean> => {
    const seconds = String(Math.ceil(timeoutMs / 1000));
    const { exitCode } = await execa('lxc-wait', [...where, '--state', state, '--timeout', seconds], {
      reject: false,
    });
    return exitCode === 0;
  };
  const container: Container = {
    get output() {
      return guest.output;
    },
    waitFor: (marker, timeoutMs = 240_000) => guest.waitFor(marker, timeoutMs),
    attach,
    async attachText(command, how) {
      const { stdout, stderr, exitCode } = await attach(command, how);
      if (exitCode !== 0) {
        throw new Error(
          `In the container: ${command}: exit code ${exitCode}\n${stdout}\n${stderr}\n${guest.tail()}`,
        );
      }
      return stdout.trim();
    },
    async state() {
      const { stdout } = await execa('lxc-info', [...where, '--state', '--no-humanize']);
      return stdout.trim();
    },
    async waitStopped(timeoutMs = 120_000) {
      if (await waitState('STOPPED', timeoutMs)) return;
      throw new Error(`The container still runs after ${timeoutMs} ms. The console's end:\n${guest.tail()}`);
    },
    async start() {
      // Where newuidmap is found, LXC wants root to have ids in /etc/subuid; else it writes the map itself.
      const path = options.firstId === undefined ? process.env['PATH'] : '/usr/sbin:/sbin';
      const { exitCode, stderr } = await execa(
        '/usr/bin/lxc-start',
        [...where, '--daemon', '--logfile', logFile, '--logpriority', 'INFO'],
        { reject: false, stdin: 'ignore', env: { PATH: path } },
      );
      if (exitCode !== 0) {
        const log = existsSync(logFile) ? await readFile(logFile, 'utf8') : '';
        const errors = log.split('\n').filter((line) => / (ERROR|WARN) /.test(line));
        throw new Error(`lxc-start: exit code ${exitCode}\n${stderr}\n${errors.join('\n')}\n${guest.tail()}`);
      }
    },
    async stop(timeoutMs = 20_000) {
      await execa('lxc-stop', [...where, '--timeout', String(Math.ceil(timeoutMs / 1000))], {
        reject: false,
      });
    },
    async destroy() {
      if (destroyed) return;
      destroyed = true;
      process.off('exit', atExit);
      kill();
      follower.stop();
      guest.end('the container was destroyed');
      await rm(lxcPath, { recursive: true, force: true });
    },
  };
  try {
    await container.start();
    return container;
  } catch (error) {
    await container.destroy();
    throw error;
  }
}

/** Gives a root directory to the ids that a container with `firstId` maps, hard links and modes kept. */
export async function shiftOwners(rootfs: string, firstId: number): Promise<void> {
  const script = `
import os, sys
root, first, seen = sys.argv[1], int(sys.argv[2]), set()
def shift(path):
    stat = os.lstat(path)
    if (stat.st_dev, stat.st_ino) in seen: return
    seen.add((stat.st_dev, stat.st_ino))
    os.lchown(path, stat.st_uid + first, stat.st_gid + first)
    if not os.path.islink(path): os.chmod(path, stat.st_mode & 0o7777)
shift(root)
for directory, directories, files in os.walk(root):
    for name in directories + files: shift(os.path.join(directory, name))
`;
  await execa('python3', ['-c', script, rootfs, String(firstId)]);
}

function containerConfig({ rootfs, config = [], firstId }: ContainerOptions, consoleFile: string): string {
  const user =
    firstId === undefined
      ? []
      : [
          'lxc.include = /usr/share/lxc/config/userns.conf',
          ...['u', 'g'].map((kind) => `lxc.idmap = ${kind} 0 ${firstId} 65536`),
        ];
  const lines = [
    'lxc.include = /usr/share/lxc/config/common.conf',
    ...user,
    'lxc.uts.name = guest',
    `lxc.rootfs.path = dir:${rootfs}`,
    `lxc.console.logfile = ${consoleFile}`,
    'lxc.tty.max = 0',
    'lxc.net.0.type = empty',
    'lxc.apparmor.profile = unconfined',
    'lxc.signal.halt = SIGUSR2',
    'lxc.signal.reboot = SIGTERM',
    ...config,
  ];
  return `${lines.join('\n')}\n`;
}

/** Hands on what a file grows by. LXC reopens it at each start and appends. */
function followFile(path: string, add: (text: string) => void): { stop(): void } {
  const decoder = new StringDecoder('utf8');
  const buffer = Buffer.alloc(1 << 16);
  let position = 0;
  const read = (): void => {
    if (!existsSync(path)) return;
    const file = openSync(path, 'r');
    try {
      for (;;) {
        const bytes = readSync(file, buffer, 0, buffer.length, position);
        if (bytes === 0) return;
        position += bytes;
        add(decoder.write(buffer.subarray(0, bytes)));
      }
    } finally {
      closeSync(file);
    }
  };
  const timer = setInterval(read, 20);
  return {
    stop() {
      clearInterval(timer);
      read();
    },
  };
}
