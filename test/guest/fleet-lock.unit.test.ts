import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { IncomingMessage, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { busyboxInstalled, library } from './busybox.ts';

const reason = '(skipped where busybox is not installed)';

interface Asked {
  line: string;
  headers: IncomingMessage['headers'];
  body: unknown;
}

describe.skipIf(!busyboxInstalled)(`the FleetLock client ${reason}`, () => {
  let directory: string;
  let server: Server;
  let asked: Asked[];
  let answer: number;
  let url: string;
  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'treeline-fleet-'));
    asked = [];
    answer = 200;
    server = createServer((request, response) => {
      let body = '';
      request.on('data', (part: Buffer) => (body += part.toString()));
      request.on('end', () => {
        asked.push({
          line: `${request.method} ${request.url}`,
          headers: request.headers,
          body: JSON.parse(body),
        });
        response.writeHead(answer, { 'content-type': 'application/json' });
        response.end(answer === 200 ? '' : '{"kind": "failed_lock", "value": "all slots are taken"}');
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/fleet/`;
  });
  afterEach(async () => {
    rmSync(directory, { recursive: true, force: true });
    server.close();
    await new Promise((resolve) => setImmediate(resolve));
  });

  /** Not synchronously: the server of this process must answer meanwhile. */
  const run = async (lines: string, env: Record<string, string> = { TREELINE_FLEET_LOCK_URL: url }) => {
    const sources = ['common', 'boot-state', 'fleet-lock']
      .map((name) => `. ${library}/${name}.sh`)
      .join('\n');
    const paths = `fleet_id_file=${directory}/id fleet_lock_held=${directory}/held`;
    const child = spawn('busybox', ['sh', '-c', `set -u\n${sources}\n${paths}\n${lines}; echo "= $?"`], {
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const output = { stdout: '', stderr: '' };
    child.stdout.on('data', (part: Buffer) => (output.stdout += part.toString()));
    child.stderr.on('data', (part: Buffer) => (output.stderr += part.toString()));
    await once(child, 'close');
    return output;
  };
  const held = (): boolean => existsSync(join(directory, 'held'));
  const id = (): string => readFileSync(join(directory, 'id'), 'utf8').trim();

  it('asks nobody where no server is named', async () => {
    expect(await run('take_reboot_lock && release_reboot_lock', {})).toEqual({ stdout: '= 0\n', stderr: '' });
    expect(held()).toBe(false);
  });

  it('asks as the protocol says, and remembers that it has the lock', async () => {
    expect(await run('take_reboot_lock')).toEqual({ stdout: '= 0\n', stderr: '' });
    expect(asked).toEqual([
      {
        line: 'POST /fleet/v1/pre-reboot',
        headers: expect.objectContaining({
          'fleet-lock-protocol': 'true',
          'content-type': 'application/json',
        }) as unknown,
        body: { client_params: { id: id(), group: 'default' } },
      },
    ]);
    expect(id()).toMatch(/^[0-9a-f]{32}$/);
    expect(held()).toBe(true);
  });

  it('gives the lock back once, under the same name and in the group that is set', async () => {
    const env = { TREELINE_FLEET_LOCK_URL: url, TREELINE_FLEET_LOCK_GROUP: 'web-1.eu' };
    await run('take_reboot_lock', env);
    expect(await run('release_reboot_lock; release_reboot_lock', env)).toEqual({
      stdout: '= 0\n',
      stderr: '',
    });
    expect(asked.map(({ line, body }) => ({ line, body }))).toEqual(
      ['pre-reboot', 'steady-state'].map((verb) => ({
        line: `POST /fleet/v1/${verb}`,
        body: { client_params: { id: id(), group: 'web-1.eu' } },
      })),
    );
    expect(held()).toBe(false);
  });

  it('does not reboot where the server says no, and passes on why', async () => {
    answer = 409;
    expect(await run('take_reboot_lock')).toEqual({
      stdout: '= 1\n',
      stderr: `treeline: ${url} does not let this machine reboot now: server returned error: HTTP/1.1 409 Conflict\n`,
    });
  });

  it('does not reboot where there is no answer', async () => {
    server.close();
    const { stdout, stderr } = await run('take_reboot_lock');
    expect(stdout).toBe('= 1\n');
    expect(stderr).toContain("can't connect to remote host");
  });

  it('keeps a lock in mind that the server does not take back', async () => {
    await run('take_reboot_lock');
    answer = 500;
    const { stdout, stderr } = await run('release_reboot_lock');
    expect(stdout).toBe('= 1\n');
    expect(stderr).toContain('does not take the lock back: server returned error: HTTP/1.1 500');
    expect(held()).toBe(true);
  });

  it('forgets a lock whose server is not set any more', async () => {
    await run('take_reboot_lock');
    expect(await run('release_reboot_lock', {})).toEqual({ stdout: '= 0\n', stderr: '' });
    expect(held()).toBe(false);
  });

  it('makes a damaged name anew', async () => {
    writeFileSync(join(directory, 'id'), '"}');
    await run('take_reboot_lock');
    expect(id()).toMatch(/^[0-9a-f]{32}$/);
  });

  it.each([
    [{ TREELINE_FLEET_LOCK_URL: 'fleet.example.org' }, 'must begin with http:// or https://'],
    [
      { TREELINE_FLEET_LOCK_URL: 'http://fleet.example.org', TREELINE_FLEET_LOCK_GROUP: '"x"' },
      'must be letters, digits, . and -, not ""x""',
    ],
  ])('refuses the settings %j', async (env, message) => {
    const { stdout, stderr } = await run('take_reboot_lock', env);
    expect(stdout).toBe('');
    expect(stderr).toContain(message);
  });
});
