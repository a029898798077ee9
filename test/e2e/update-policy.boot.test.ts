import { readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findDelta, givenImages } from './given.ts';
import type { Machine } from './machine.ts';
import { startMachine } from './machine.ts';
import { inGuest } from './overlay.ts';
import type { Recorder } from './server.ts';
import { startRecorder } from './server.ts';

const { images, versions, skipped, note } = await givenImages([
  'qemu-system-x86_64',
  'qemu-img',
  'ssh',
  'gpg',
  'ostree',
]);

describe.skipIf(skipped)(`what a machine lets happen to it${note}`, () => {
  const { first, second } = versions;
  let vm: Machine;
  let recorder: Recorder;
  let fleet: FleetServer;
  let directory: string;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'treeline-policy-'));
    recorder = await startRecorder(images.serverPort);
    fleet = await startFleetServer();
    vm = await startMachine(first.vm, { ...images.running.machine, running: images.running });
    await vm.sshText(`{
      echo TREELINE_UPDATE_URL=http://10.0.2.2:${recorder.port}
      echo TREELINE_FLEET_LOCK_URL=http://10.0.2.2:${fleet.port}
    } >/etc/treeline.conf`);
  });
  afterAll(async () => {
    await vm?.remove();
    await fleet?.stop();
    await recorder?.stop();
    if (directory !== undefined) await rm(directory, { recursive: true, force: true });
  });

  const upgrade = async (options = '') => {
    const { stdout, stderr, exitCode } = await vm.ssh(`treeline upgrade ${options}`, { timeoutMs: 300_000 });
    return { output: stdout + stderr, exitCode };
  };
  const systemState = (): Promise<string> =>
    vm.sshText(
      `ostree admin status; ostree refs --repo=/sysroot/ostree/repo; cat /boot/loader/entries/*
       find /sysroot/ostree/repo/objects /sysroot/ostree/repo/tmp -type f | sort`,
      { timeoutMs: 300_000 },
    );
  /** Puts a file into the guest. */
  const carry = async (bytes: Buffer, path: string): Promise<void> => {
    await vm.sshText(`base64 -d >${path}`, { input: bytes.toString('base64'), timeoutMs: 300_000 });
  };
  const hook = (event: string, lines: string): Promise<string> =>
    vm.sshText(
      `mkdir -p /etc/treeline/hooks/${event}.d && cat >/etc/treeline/hooks/${event}.d/50-e2e &&
      chmod +x /etc/treeline/hooks/${event}.d/50-e2e`,
      { input: `#!/bin/sh\n${lines}\n` },
    );
  /** The published index's signature, made anew at another time. */
  const signIndex = async (made: number, options: readonly string[] = []): Promise<Buffer> => {
    const signature = join(directory, 'signature');
    const time = new Date(made * 1000).toISOString().slice(0, 19).replaceAll(/[-:]/g, '');
    await execa('gpg', [
      `--homedir=${join(images.workspace, '.treeline/keys')}`,
      ...['--batch', '--yes', '--faked-system-time', `${time}!`],
      ...options,
      ...['--output', signature, '--detach-sign', join(images.workspace, 'out/updates/index.json')],
    ]);
    return readFile(signature);
  };
  const seen = async (): Promise<number> => Number(await vm.sshText('cat /var/lib/treeline/index-time'));

  it('says that something new is there, and remembers when the index was made', async () => {
    const { output, exitCode } = await upgrade('--check');
    expect(output).toContain(second.vm.manifest.version);
    expect(exitCode).toBe(3);
    expect(Math.abs((await seen()) - Date.now() / 1000)).toBeLessThan(86_400);
    expect(await vm.sshText('cat /var/lib/treeline/available')).toMatch(
      new RegExp(`^${second.vm.manifest.commit} ${second.vm.manifest.version} \\d+ checked$`),
    );
  });

  it.each([
    ['is older than the last one', -1, [], 'and this machine has seen one of'],
    ['has expired', 1, ['--default-sig-expire', 'seconds=1'], 'has expired on'],
  ])('refuses a well signed index that %s', async (_, later, options, message) => {
    const signature = await signIndex((await seen()) + later, options);
    recorder.tamper(/\.sig$/, () => signature);
    try {
      const { output, exitCode } = await upgrade();
      expect(output).toContain(message);
      expect(output).toContain('nothing has changed');
      expect(exitCode).toBe(1);
    } finally {
      recorder.tamper();
    }
  });

  it('sets a clock of 1970 right enough to upgrade', async () => {
    // Not the first of January: the clock must not be before the machine's start.
    await vm.sshText('date -s 1970-02-02');
    const { output, exitCode } = await upgrade('--check');
    expect(output).toContain('the clock was wrong (1970-02-02');
    expect(exitCode).toBe(3);
    await vm.sshText(`date -s @${Math.floor(Date.now() / 1000)}`);
  });

  it('downloads, and applies nothing of it', async () => {
    const before = await systemState();
    expect(await upgrade('--download')).toMatchObject({ exitCode: 0 });
    expect(await systemState()).toBe(before);
    expect(await vm.sshText('cat /var/lib/treeline/available')).toMatch(/ downloaded$/);
  });

  it('asks hooks before it applies what was downloaded', async () => {
    await hook('before-upgrade', 'echo "not $TREELINE_VERSION, not now"; exit 1');
    const before = await systemState();
    const { output, exitCode } = await upgrade('--apply');
    expect(output).toContain(`not ${second.vm.manifest.version}, not now`);
    expect(output).toContain('/etc/treeline/hooks/before-upgrade.d/50-e2e is against it (exit code 1)');
    expect(exitCode).toBe(4);
    expect(await systemState()).toBe(before);
    await hook('before-upgrade', 'exit 0');
  });

  it('applies it without asking the server for anything, and does not reboot without leave', async () => {
    await hook('after-upgrade', 'echo "$TREELINE_VERSION $TREELINE_RESULT" >/var/lib/e2e-after');
    fleet.allow(false);
    recorder.takeRequests();
    const { output, exitCode } = await upgrade('--apply --reboot');
    expect(output).toContain(`version ${second.vm.manifest.version} is ready`);
    expect(output).toContain('does not let this machine reboot now: server returned error: HTTP/1.1 409');
    expect(exitCode).toBe(4);
    expect(recorder.takeRequests()).toEqual([]);
    expect(await vm.sshText('cat /var/lib/e2e-after')).toBe(`${second.vm.manifest.version} ready`);
    await vm.refused('ls /var/lib/treeline/available');
  });

  it('reboots with leave, and gives it back when the new version is well', async () => {
    await hook('before-reboot', 'echo "$TREELINE_VERSION" >/var/lib/e2e-reboot');
    fleet.allow(true);
    await vm.reboot('treeline upgrade --apply --reboot');
    expect(await vm.sshText('treeline version')).toBe(second.vm.manifest.version);
    expect(await vm.sshText('cat /var/lib/e2e-reboot')).toBe(second.vm.manifest.version);
    await expect
      .poll(() => fleet.asked.map(({ path }) => path), { timeout: 300_000 })
      .toEqual(['/v1/pre-reboot', '/v1/pre-reboot', '/v1/steady-state']);
    expect(new Set(fleet.asked.map(({ body }) => body))).toHaveLength(1);
  });

  describe('with the way back as a file', () => {
    const path = '/var/tmp/carried.delta';
    let delta: Buffer;

    beforeAll(async () => {
      const file = join(directory, 'back.delta');
      await execa('ostree', [
        'static-delta',
        'generate',
        `--repo=${join(images.workspace, '.treeline/repo')}`,
        ...['--inline', '--min-fallback-size=0', `--filename=${file}`],
        ...[`--from=${second.vm.manifest.commit}`, `--to=${first.vm.manifest.commit}`],
      ]);
      delta = await readFile(file);
      await vm.sshText('rm -r /etc/treeline/hooks');
    });

    it.each([
      ['cut off', (bytes: Buffer) => bytes.subarray(0, bytes.length >> 1), 'is not a delta, or is damaged'],
      ['damaged on the way', invertSecondHalf, 'damaged'],
      ['that is something else', () => Buffer.from('hello\n'), 'is not a delta, or is damaged'],
    ])('refuses one %s', async (_, change, message) => {
      await carry(change(delta), path);
      const before = await systemState();
      const { output, exitCode } = await upgrade(path);
      expect(output).toContain(message);
      expect(output).toContain('nothing has changed');
      expect(exitCode).toBe(1);
      expect(await systemState()).toBe(before);
    });

    it('refuses one that leads on from a commit which is not here', async () => {
      const forward = await findDelta(images, first.vm, second.vm);
      const other = await findForeignDelta(forward.ref);
      await carry(other, path);
      const { output, exitCode } = await upgrade(path);
      expect(output).toContain('which is not on this machine');
      expect(exitCode).toBe(1);
    });

    it('refuses an older version, and takes it where that is allowed', async () => {
      await carry(delta, path);
      const before = await systemState();
      const refused = await upgrade(path);
      expect(refused.output).toContain(`which is older than ${second.vm.manifest.version}, the running one`);
      expect(refused.exitCode).toBe(1);
      expect(await systemState()).toBe(before);
      expect(await upgrade(`${path} --allow-downgrade`)).toMatchObject({ exitCode: 0 });
      expect(await vm.sshText('treeline status')).toMatch(
        new RegExp(`^next boot\\s+${first.vm.manifest.version} `, 'm'),
      );
      expect(await vm.sshText(`cat ${inGuest.changed}`)).toBe('version two');
    });
  });

  /** A delta from a commit that no machine has: of a repository made for it. */
  async function findForeignDelta(ref: string): Promise<Buffer> {
    const repository = join(directory, 'foreign');
    const tree = join(directory, 'tree');
    const run = async (...args: string[]): Promise<string> =>
      (await execa('ostree', [`--repo=${repository}`, ...args])).stdout.trim();
    await execa('mkdir', ['-p', tree]);
    await run('init', '--mode=bare-user');
    const commit = async (text: string): Promise<string> => {
      await writeFile(join(tree, 'file'), text);
      return run('commit', '--orphan', `--bind-ref=${ref}`, `--tree=dir=${tree}`);
    };
    const from = await commit('one');
    const to = await commit('two');
    const file = join(directory, 'foreign.delta');
    await run('static-delta', 'generate', '--inline', `--filename=${file}`, `--from=${from}`, `--to=${to}`);
    return readFile(file);
  }
});

interface FleetServer {
  port: number;
  /** In their order. */
  readonly asked: { path: string; body: string }[];
  /** Whether machines may reboot. */
  allow(yes: boolean): void;
  stop(): Promise<void>;
}

async function startFleetServer(): Promise<FleetServer> {
  const asked: FleetServer['asked'] = [];
  let allowed = true;
  const server: Server = createServer((request, response) => {
    let body = '';
    request.on('data', (part: Buffer) => (body += part.toString()));
    request.on('end', () => {
      asked.push({ path: request.url ?? '', body });
      const denied = !allowed && request.url === '/v1/pre-reboot';
      response.writeHead(denied ? 409 : 200);
      response.end(denied ? '{"kind": "failed_lock", "value": "all slots are taken"}' : '');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  return {
    port: (server.address() as AddressInfo).port,
    asked,
    allow: (yes) => void (allowed = yes),
    stop: () => new Promise((resolve) => void server.close(() => resolve())),
  };
}

function invertSecondHalf(bytes: Buffer): Buffer {
  return Buffer.from(bytes.map((byte, index) => (index < bytes.length / 2 ? byte : byte ^ 0xff)));
}
