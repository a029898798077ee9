import { existsSync, lstatSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { DownloadFromAny } from '../../src/host/download.ts';
import { download, downloadFromAny } from '../../src/host/download.ts';
import { TreelineError } from '../../src/host/errors.ts';
import { errorOf, temporaryDirectory, temporaryHost } from '../helpers/host.ts';
import { lacks } from '../helpers/needs.ts';

const content = Buffer.from(Array.from({ length: 200_000 }, (_, index) => (index * 7) % 251));

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** A server, and what it was asked for: the Range header of each request. */
async function serve(answer: Answer): Promise<{ url: string; ranges: (string | undefined)[] }> {
  const ranges: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    ranges.push(request.headers.range);
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/file`, ranges };
}

/** As a server that knows Range answers; `send`: how many bytes before it cuts the connection. */
const inRanges =
  (send = Infinity): Answer =>
  (request, response) => {
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    if (from >= content.length) {
      response.writeHead(416, { 'content-range': `bytes */${content.length}` }).end();
      return;
    }
    const rest = content.subarray(from);
    response.writeHead(from === 0 ? 200 : 206, {
      'content-length': rest.length,
      ...(from > 0 && { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` }),
    });
    if (send >= rest.length) response.end(rest);
    else response.write(rest.subarray(0, send), () => setTimeout(() => response.destroy(), 20));
  };

function setUp() {
  const host = temporaryHost();
  const path = join(temporaryDirectory(), 'file');
  const get = (source: string, limit = content.length) =>
    download(host, { source, path, limit, patience: 2 });
  const getFromAny = (sources: readonly string[], more: Partial<DownloadFromAny> = {}) =>
    downloadFromAny(host, {
      sources,
      path,
      limit: content.length,
      what: 'the file',
      hint: 'Try again.',
      patience: 2,
      ...more,
    });
  const arrived = () => readFileSync(path).equals(content);
  return { host, path, part: `${path}.part`, get, getFromAny, arrived };
}

describe.skipIf(lacks({ programs: ['curl', 'prlimit'] }))('a download', () => {
  it('appears whole, and leaves nothing beside it', async () => {
    const { get, arrived, part } = setUp();
    expect(await get((await serve(inRanges())).url)).toEqual({ detail: '' });
    expect([arrived(), existsSync(part)]).toEqual([true, false]);
  });

  it('of a file of this machine is a copy', async () => {
    const { get, arrived, path } = setUp();
    writeFileSync(`${path}.source`, content);
    expect(await get(`${path}.source`)).toEqual({ detail: '' });
    expect([arrived(), existsSync(`${path}.source`)]).toEqual([true, true]);
    expect(await get(`${path}.none`)).toMatchObject({ failure: 'missing' });
    expect(await get(`${path}.source`, 1000)).toMatchObject({ failure: 'too-large' });
  });

  it('of a link of this machine is a copy of the file, and of a directory none', async () => {
    const { get, arrived, path } = setUp();
    writeFileSync(`${path}.source`, content);
    symlinkSync(`${path}.source`, `${path}.link`);
    symlinkSync('/nonexistent', `${path}.dangling`);
    writeFileSync(`${path}.part`, 'x'.repeat(content.length + 1));
    expect(await get(`${path}.link`)).toEqual({ detail: '' });
    expect([arrived(), lstatSync(path).isFile()]).toEqual([true, true]);
    for (const source of [`${path}.dangling`, dirname(path)])
      expect(await get(source)).toMatchObject({ failure: 'missing' });
  });

  it('goes on where the connection was cut', async () => {
    const { get, arrived, part, path } = setUp();
    const cutting = await serve(inRanges(60_000));
    expect(await get(cutting.url)).toMatchObject({ failure: 'unreachable' });
    expect(existsSync(path)).toBe(false);
    const before = readFileSync(part).length;
    expect(before).toBeGreaterThan(0);
    const good = await serve(inRanges());
    expect(await get(good.url)).toEqual({ detail: '' });
    expect(good.ranges).toEqual([`bytes=${before}-`]);
    expect(arrived()).toBe(true);
  });

  it('begins anew at a server that has no ranges', async () => {
    const { get, arrived, part } = setUp();
    writeFileSync(part, content.subarray(0, 1000));
    const { url, ranges } = await serve((_, response) => void response.end(content));
    expect(await get(url)).toEqual({ detail: '' });
    expect(arrived()).toBe(true);
    expect(ranges.at(-1)).toBeUndefined();
  });

  it('gives up on a server that refuses every range, even that of a whole file', async () => {
    const { get, path, part } = setUp();
    writeFileSync(part, content.subarray(0, 1000));
    const { url, ranges } = await serve((_, response) => void response.writeHead(416).end());
    const result = await get(url);
    expect(ranges.length).toBeLessThan(10);
    if (result.failure === undefined) expect(readFileSync(path).length).toBe(1000);
  });

  it('takes no more than the limit, whatever the server says that it sends', async () => {
    const { get, path, part } = setUp();
    const announced = await serve(inRanges());
    expect(await get(announced.url, 50_000)).toMatchObject({ failure: 'too-large' });
    let sent = 0;
    const endless = await serve((_, response) => {
      const more = (): void => {
        sent += 1 << 16;
        if (sent < 1 << 26 && !response.destroyed) response.write(Buffer.alloc(1 << 16), more);
        else response.end();
      };
      more();
    });
    expect(await get(endless.url, 50_000)).toMatchObject({ failure: 'too-large' });
    expect([existsSync(path), existsSync(part)]).toEqual([false, false]);
    expect(sent).toBeLessThan(1 << 26);
  });

  it('may be exactly as long as the limit', async () => {
    const { get, arrived } = setUp();
    const { url } = await serve((_, response) => {
      response.writeHead(200);
      response.write(content.subarray(0, 5));
      response.end(content.subarray(5));
    });
    expect(await get(url, content.length)).toEqual({ detail: '' });
    expect(arrived()).toBe(true);
  });

  it('fails where the server falls silent', async () => {
    const { host, path } = setUp();
    const { url } = await serve((_, response) => {
      response.writeHead(200, { 'content-length': 1000 });
      response.write('x');
    });
    const job = { source: url, path, limit: 1000, patience: 1 };
    expect(await download(host, job)).toMatchObject({ failure: 'unreachable' });
  });

  it.each([403, 404, 410])('of a file that is not there (%i) says so', async (status) => {
    const { get, part } = setUp();
    const { url } = await serve((_, response) => void response.writeHead(status).end('no such file'));
    expect(await get(url)).toEqual({ failure: 'missing', detail: `${url}: ${status}` });
    expect(existsSync(part)).toBe(false);
  });

  it('follows to another place, but not to a file of this machine', async () => {
    const { get, arrived } = setUp();
    const good = await serve(inRanges());
    const there = await serve((_, response) => void response.writeHead(302, { location: good.url }).end());
    expect(await get(there.url)).toEqual({ detail: '' });
    expect(arrived()).toBe(true);
    const local = await serve((_, response) =>
      response.writeHead(302, { location: 'file:///etc/hostname' }).end(),
    );
    expect((await get(local.url)).failure).toBe('unreachable');
  });

  it('takes an address as it is written', async () => {
    const { get } = setUp();
    const asked: string[] = [];
    const { url } = await serve(({ url: path = '' }, response) => {
      asked.push(path);
      response.end('x');
    });
    expect(await get(url.replace('/file', '/a{b,c}[1-3]+~.apk'))).toEqual({ detail: '' });
    expect(asked.map(decodeURIComponent)).toEqual(['/a{b,c}[1-3]+~.apk']);
  });

  it('ends when the user stops the command', async () => {
    const { host, path } = setUp();
    const { url } = await serve(() => setTimeout(() => host.stop(), 50));
    const error = await errorOf(download(host, { source: url, path, limit: 10 }));
    expect(error.code).toBe('cancelled');
  });
});

describe.skipIf(lacks({ programs: ['curl', 'prlimit'] }))('of several places', () => {
  const refusing = 'http://127.0.0.1:9/file';

  it('the first that has the file counts', async () => {
    const { getFromAny, arrived, path } = setUp();
    const lacking = await serve((_, response) => void response.writeHead(404).end());
    const [good, unused] = [await serve(inRanges()), await serve(inRanges())];
    const sources = [refusing, lacking.url, `${path}.none`, good.url, unused.url];
    expect(await getFromAny(sources)).toBe(good.url);
    expect([arrived(), unused.ranges]).toEqual([true, []]);
  });

  it('the next goes on with what arrived from one that cut the connection', async () => {
    const { getFromAny, arrived } = setUp();
    const [cutting, good] = [await serve(inRanges(60_000)), await serve(inRanges())];
    expect(await getFromAny([cutting.url, good.url])).toBe(good.url);
    expect(good.ranges[0]).toMatch(/^bytes=\d+-$/);
    expect(arrived()).toBe(true);
  });

  it('none has it: all are named, each with its reason', async () => {
    const { getFromAny } = setUp();
    const lacking = await serve((_, response) => void response.writeHead(404).end());
    const error = await errorOf(getFromAny([refusing, lacking.url, '/nonexistent']));
    expect(error.code).toBe('network');
    expect(error.message).toBe(`Cannot fetch the file from ${refusing}, ${lacking.url}, /nonexistent`);
    expect(error.hint).toBe('Try again.');
    const lines = error.output!.split('\n');
    expect(lines[0]).toMatch(/^http:\/\/127\.0\.0\.1:9\/file: .*connect/i);
    expect(lines.slice(1)).toEqual([`${lacking.url}: not there`, '/nonexistent: not there']);
  });

  it('one whose file is refused is passed over; where all are, the first refusal is thrown', async () => {
    const { getFromAny, arrived, path } = setUp();
    const bad = await serve((_, response) => void response.end('bad'));
    const good = await serve(inRanges());
    const verify = async (source: string): Promise<void> => {
      if (!readFileSync(path).equals(content)) throw new TreelineError('package', `Cannot use ${source}`);
    };
    expect(await getFromAny([bad.url, good.url], { verify })).toBe(good.url);
    expect(arrived()).toBe(true);
    const error = await errorOf(getFromAny([bad.url, refusing], { verify }));
    expect([error.code, error.message]).toEqual(['package', `Cannot use ${bad.url}`]);
    expect(existsSync(path)).toBe(false);
    const bug = getFromAny([bad.url, good.url], { verify: () => Promise.reject(new Error('a bug')) });
    await expect(bug).rejects.toThrow('a bug');
  });

  it('one is not blamed for what another one began', async () => {
    const { getFromAny, arrived, path, part } = setUp();
    const good = await serve(inRanges());
    const verify = async (source: string): Promise<void> => {
      if (!readFileSync(path).equals(content)) throw new TreelineError('package', `Cannot use ${source}`);
    };
    for (const rubbish of [Buffer.alloc(1000), Buffer.alloc(content.length + 9)]) {
      writeFileSync(part, rubbish);
      expect(await getFromAny([good.url], { verify })).toBe(good.url);
      expect(arrived()).toBe(true);
    }
  });

  it('one that did not answer is asked last from then on', async () => {
    const { getFromAny } = setUp();
    const cutting = await serve(inRanges(10));
    const good = await serve(inRanges());
    const silent = new Set<string>();
    await getFromAny([cutting.url, good.url], { silent });
    const before = cutting.ranges.length;
    expect(await getFromAny([cutting.url, good.url], { silent })).toBe(good.url);
    expect(cutting.ranges).toHaveLength(before);
  });
});
