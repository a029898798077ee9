import {
  appendFile,
  mkdir,
  mkdtemp,
  rename,
  rm,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { Agent, request as httpRequest } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunningServer, ServedRequest } from '../../src/release/serve.ts';
import { serveDirectory } from '../../src/release/serve.ts';

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}

let room: string;
let site: string;
let server: RunningServer;
const seen: ServedRequest[] = [];
const text = 'abcdefghijklmnopqrstuvwxyz';

beforeAll(async () => {
  room = await mkdtemp(join(tmpdir(), 'serve-'));
  site = join(room, 'site');
  await mkdir(join(site, 'updates/.work'), { recursive: true });
  await mkdir(join(room, 'archive/objects'), { recursive: true });
  await mkdir(join(room, 'site-private'));
  await writeFile(join(room, 'secret'), 'secret');
  await writeFile(join(room, 'site-private/secret'), 'secret');
  await writeFile(join(room, 'archive/summary'), 'archive summary');
  await writeFile(join(site, 'alphabet.txt'), text);
  await writeFile(join(site, 'empty.json'), '');
  await writeFile(join(site, '.hidden'), 'secret');
  await writeFile(join(site, 'updates/.work/part'), 'secret');
  await writeFile(join(site, 'updates/a b&<c>.delta'), 'delta');
  await symlink('updates', join(site, 'latest'));
  await symlink('../secret', join(site, 'leads-out'));
  await symlink('../site-private', join(site, 'leads-out-directory'));
  await symlink('.hidden', join(site, 'leads-to-hidden'));
  await symlink('/etc/passwd', join(site, 'absolute'));
  await execa('mkfifo', [join(site, 'pipe')]);
  server = await serveDirectory({
    mounts: { '/': site, '/repo': join(room, 'archive') },
    port: 0,
    onRequest: (request) => seen.push(request),
  });
});

afterAll(async () => {
  await server.close();
  await rm(room, { recursive: true });
});

/** The path goes out as it is: fetch() would tidy it. */
function ask(path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ port: server.port, path, method, headers, agent: false }, (response) => {
      let body = '';
      response.on('data', (part: Buffer) => (body += part.toString('latin1')));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
      );
      response.on('error', reject);
    });
    request.on('error', reject);
    request.end();
  });
}

describe('files', () => {
  it('are sent whole, with their length and type', async () => {
    const answer = await ask('/alphabet.txt');
    expect(answer).toMatchObject({ status: 200, body: text });
    expect(answer.headers).toMatchObject({
      'content-length': '26',
      'content-type': 'text/plain; charset=utf-8',
      'accept-ranges': 'bytes',
      'cache-control': 'no-cache',
    });
  });

  it('answer HEAD like GET without the body', async () => {
    const answer = await ask('/alphabet.txt', {}, 'HEAD');
    expect(answer).toMatchObject({ status: 200, body: '' });
    expect(answer.headers['content-length']).toBe('26');
  });

  it('may be empty', async () => {
    const answer = await ask('/empty.json');
    expect(answer).toMatchObject({ status: 200, body: '' });
    expect(answer.headers['content-type']).toBe('application/json');
  });

  it('may have names that URLs escape, and be reached by doubled slashes and queries', async () => {
    expect((await ask('//updates//a%20b%26%3Cc%3E.delta?x=1')).body).toBe('delta');
  });

  it('are served through links that stay inside', async () => {
    expect((await ask('/latest/a%20b%26%3Cc%3E.delta')).body).toBe('delta');
  });

  it('of several GiB with holes are sent from any place', async () => {
    await truncate(await touch('sparse.img'), 6 * 1024 ** 3);
    await appendFile(join(site, 'sparse.img'), 'end');
    const answer = await ask('/sparse.img', { Range: 'bytes=6442450940-' });
    expect(answer).toMatchObject({ status: 206, body: '\0\0\0\0end' });
  });

  it('are sent in full to a client that reads slowly', async () => {
    await execa('sh', ['-c', `head -c 67108864 /dev/urandom > ${join(site, 'large.img')}`]);
    const { stdout } = await execa('sh', [
      '-c',
      `curl -s --limit-rate 40M ${server.url}large.img | sha256sum`,
    ]);
    const own = await execa('sha256sum', [join(site, 'large.img')]);
    expect(stdout.split(' ')[0]).toBe(own.stdout.split(' ')[0]);
  });

  it('that are cut while they are sent break the connection', async () => {
    await truncate(await touch('cut.img'), 256 * 1024 ** 2);
    const broken = await new Promise<boolean>((resolve) => {
      const request = httpRequest({ port: server.port, path: '/cut.img', agent: false }, (response) => {
        response.pause();
        void truncate(join(site, 'cut.img'), 1000).then(() => response.resume());
        response.on('error', () => resolve(true)).on('end', () => resolve(false));
      });
      request.end();
    });
    expect(broken).toBe(true);
  });
});

describe('what does not exist for clients', () => {
  it.each([
    '/missing',
    '/.hidden',
    '/updates/.work/part',
    '/leads-out',
    '/leads-out-directory/secret',
    '/leads-out-directory/',
    '/leads-to-hidden',
    '/absolute',
    '/pipe',
    '/alphabet.txt/',
    '/alphabet.txt/x',
    `/${'x'.repeat(300)}`,
  ])('%s is not found', async (path) => {
    const answer = await ask(path);
    expect(answer.status).toBe(404);
    expect(answer.body).not.toContain('secret');
  });

  it.each([
    '/../secret',
    '/updates/../../secret',
    '/%2e%2e/secret',
    '/..%2fsecret',
    '/updates%2f..%2f..%2fsecret',
    '/repo/../../secret',
    '/alphabet.txt%00.json',
    '/%zz',
    '*',
  ])('%s is no path', async (path) => {
    const answer = await ask(path);
    expect(answer.status).toBe(400);
    expect(answer.body).not.toContain('secret');
  });

  it('a directory beside the served one whose name begins alike is not reached', async () => {
    expect((await ask('/..%2fsite-private%2fsecret')).status).toBe(400);
    expect((await ask('/%2e%2e/site-private/secret')).status).toBe(400);
  });
});

describe('ranges', () => {
  it.each([
    ['bytes=0-0', 'a', 'bytes 0-0/26'],
    ['bytes=23-', 'xyz', 'bytes 23-25/26'],
    ['bytes=-2', 'yz', 'bytes 24-25/26'],
    ['bytes=-100', text, 'bytes 0-25/26'],
    ['bytes=24-100', 'yz', 'bytes 24-25/26'],
  ])('%s', async (range, body, contentRange) => {
    const answer = await ask('/alphabet.txt', { Range: range });
    expect(answer).toMatchObject({ status: 206, body });
    expect(answer.headers).toMatchObject({
      'content-range': contentRange,
      'content-length': String(body.length),
    });
  });

  it.each(['bytes=26-', 'bytes=100-200', 'bytes=-0'])('%s lies behind the end', async (range) => {
    const answer = await ask('/alphabet.txt', { Range: range });
    expect(answer).toMatchObject({ status: 416, body: '' });
    expect(answer.headers['content-range']).toBe('bytes */26');
  });

  it.each(['lines=1-2', 'bytes=5-1', 'bytes=a-b', 'bytes=-', 'bytes=0-1,4-5'])(
    '%s is ignored',
    async (range) => {
      expect(await ask('/alphabet.txt', { Range: range })).toMatchObject({ status: 200, body: text });
    },
  );

  it('count only for the file that If-Range means', async () => {
    const { etag } = (await ask('/alphabet.txt')).headers;
    const range = { Range: 'bytes=0-2' };
    expect(await ask('/alphabet.txt', { ...range, 'If-Range': etag! })).toMatchObject({
      status: 206,
      body: 'abc',
    });
    expect(await ask('/alphabet.txt', { ...range, 'If-Range': '"other"' })).toMatchObject({ status: 200 });
    expect(await ask('/alphabet.txt', { ...range, 'If-Range': `W/${etag}` })).toMatchObject({ status: 200 });
    expect(
      await ask('/alphabet.txt', { ...range, 'If-Range': 'Thu, 01 Jan 1970 00:00:00 GMT' }),
    ).toMatchObject({
      status: 200,
    });
  });

  it('let curl continue a download', async () => {
    const part = join(room, 'part');
    await writeFile(part, text.slice(0, 10));
    await execa('curl', ['-sf', '-C', '-', '-o', part, `${server.url}alphabet.txt`]);
    const { stdout } = await execa('cat', [part]);
    expect(stdout).toBe(text);
  });
});

describe('conditional requests', () => {
  it('are answered by 304 while the file is the same', async () => {
    const { etag, 'last-modified': modified } = (await ask('/alphabet.txt')).headers;
    for (const headers of [
      { 'If-None-Match': etag! },
      { 'If-None-Match': `"x", W/${etag}` },
      { 'If-None-Match': '*' },
      { 'If-Modified-Since': modified! },
    ]) {
      const answer = await ask('/alphabet.txt', headers);
      expect(answer).toMatchObject({ status: 304, body: '' });
      expect(answer.headers['etag']).toBe(etag);
    }
  });

  it('prefer the tag to the date', async () => {
    const future = new Date(Date.now() + 1e9).toUTCString();
    const answer = await ask('/alphabet.txt', { 'If-None-Match': '"other"', 'If-Modified-Since': future });
    expect(answer.status).toBe(200);
  });

  it('notice a new file of the same name, size and modification time', async () => {
    const then = new Date('2020-01-01T00:00:00Z');
    await writeFile(await touch('same.json'), '{"a":1}');
    await utimes(join(site, 'same.json'), then, then);
    const { etag } = (await ask('/same.json')).headers;
    await writeFile(join(site, 'new.json'), '{"a":2}');
    await utimes(join(site, 'new.json'), then, then);
    await rename(join(site, 'new.json'), join(site, 'same.json'));
    expect(await ask('/same.json', { 'If-None-Match': etag! })).toMatchObject({
      status: 200,
      body: '{"a":2}',
    });
    expect(await ask('/same.json', { 'If-Modified-Since': then.toUTCString() })).toMatchObject({
      status: 200,
    });
  });
});

describe('directories', () => {
  it('are listed, hidden names left out, names escaped, mounts named', async () => {
    const root = await ask('/');
    expect(root.status).toBe(200);
    expect(root.headers['content-type']).toBe('text/html; charset=utf-8');
    expect(root.body).toContain('<a href="./alphabet.txt">alphabet.txt</a> 26 B');
    expect(root.body).toContain('<a href="./repo/">repo/</a>');
    expect(root.body).toContain('<a href="./latest/">latest/</a>');
    for (const name of ['hidden', 'leads-out', 'absolute', 'pipe']) expect(root.body).not.toContain(name);
    const inner = await ask('/updates/');
    expect(inner.body).toContain('<a href="./a%20b%26%3Cc%3E.delta">a b&amp;&lt;c&gt;.delta</a> 5 B');
    expect(inner.body).toContain('<a href="../">');
  });

  it('without the slash lead to the name with it', async () => {
    const answer = await ask('/updates');
    expect(answer.status).toBe(301);
    expect(answer.headers.location).toBe('/updates/');
  });

  it('of a second mount are served below its prefix', async () => {
    expect((await ask('/repo')).headers.location).toBe('/repo/');
    expect((await ask('/repo/summary')).body).toBe('archive summary');
    expect((await ask('/repository/summary')).status).toBe(404);
  });
});

describe('the server', () => {
  it('answers other methods by 405 and goes on', async () => {
    const answer = await ask('/alphabet.txt', {}, 'DELETE');
    expect(answer.status).toBe(405);
    expect(answer.headers.allow).toBe('GET, HEAD');
    expect((await ask('/alphabet.txt')).status).toBe(200);
  });

  it('keeps the connection for the next request', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const ports: (number | undefined)[] = [];
    for (const path of ['/alphabet.txt', '/missing', '/alphabet.txt']) {
      await new Promise<void>((resolve, reject) => {
        httpRequest({ port: server.port, path, agent }, (response) => {
          ports.push(response.socket.localPort);
          response.resume().on('end', () => setImmediate(resolve));
        })
          .on('error', reject)
          .end();
      });
    }
    agent.destroy();
    expect(new Set(ports).size).toBe(1);
  });

  it('survives a client that goes away in the middle', async () => {
    await truncate(await touch('left.img'), 1024 ** 3);
    await new Promise<void>((resolve) => {
      const socket = connect(server.port, '127.0.0.1', () =>
        socket.write('GET /left.img HTTP/1.1\r\nHost: x\r\n\r\n'),
      );
      socket.once('data', () => socket.destroy()).once('close', () => resolve());
    });
    await expect.poll(() => seen.find((request) => request.path === '/left.img')?.complete).toBe(false);
    expect((await ask('/alphabet.txt')).status).toBe(200);
  });

  it('tells of each request', async () => {
    await ask('/alphabet.txt?told', { Range: 'bytes=0-4' });
    await expect
      .poll(() => seen.find((request) => request.path === '/alphabet.txt?told'))
      .toEqual({
        method: 'GET',
        path: '/alphabet.txt?told',
        status: 206,
        bytes: 5,
        client: '127.0.0.1',
        complete: true,
      });
  });

  it('says which URL a guest uses', () => {
    expect(server.url).toBe(`http://127.0.0.1:${server.port}/`);
    expect(server.guestUrl).toBe(`http://10.0.2.2:${server.port}/`);
  });

  it('says so where the port is taken', async () => {
    await expect(serveDirectory({ mounts: { '/': site }, port: server.port })).rejects.toMatchObject({
      code: 'host',
      message: `Cannot serve on 127.0.0.1, port ${server.port}: another program uses it`,
      hint: expect.stringContaining('--port'),
    });
  });

  it('says so where the address is not this machine’s', async () => {
    await expect(
      serveDirectory({ mounts: { '/': site }, port: 0, address: '192.0.2.1' }),
    ).rejects.toMatchObject({
      code: 'usage',
      message: 'Cannot serve on 192.0.2.1, port 0: this is no address of this machine',
    });
  });

  it('says so where there is nothing to serve', async () => {
    await expect(serveDirectory({ mounts: { '/': join(room, 'nowhere') }, port: 0 })).rejects.toMatchObject({
      code: 'usage',
      hint: expect.stringContaining('npm run build:vm'),
    });
  });

  it('ends open connections when it is closed', async () => {
    const other = await serveDirectory({ mounts: { '/': site }, port: 0 });
    const socket = connect(other.port, '127.0.0.1');
    await new Promise((resolve) => socket.once('connect', resolve));
    const ended = new Promise((resolve) => socket.once('close', resolve));
    socket.on('error', () => {});
    await other.close();
    await ended;
    expect(socket.destroyed).toBe(true);
  });

  it('opens no more files than it closes', async () => {
    for (const path of ['/alphabet.txt', '/alphabet.txt/', '/updates/', '/pipe', '/leads-out', '/empty.json'])
      await ask(path);
    await ask('/alphabet.txt', { Range: 'bytes=100-' });
    await ask('/alphabet.txt', {}, 'HEAD');
    await expect.poll(openFiles).toBe('0');
  });
});

/** How many files of the site this process holds open. */
async function openFiles(): Promise<string> {
  return (await execa('sh', ['-c', `ls -l /proc/${process.pid}/fd | grep -c ${site} || true`])).stdout;
}

/** A new empty file of the site. */
async function touch(name: string): Promise<string> {
  const path = join(site, name);
  await writeFile(path, '');
  return path;
}
