import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { TreelineError } from '../host/errors.ts';
import { readEntry, realPath } from '../host/files.ts';
import type { OpenDirectory, OpenFile } from '../host/stream.ts';
import { openBelow } from '../host/stream.ts';
import { contentType } from './serve/content-type.ts';
import { listingPage } from './serve/listing.ts';
import { planFileResponse } from './serve/plan.ts';
import { findMount, mountsBelow, parseRequestPath } from './serve/request-path.ts';

export interface ServeOptions {
  /** URL prefix → directory: `{ '/': 'out', '/repo/': 'archive-repo' }`. The longest prefix that fits counts. */
  mounts: Readonly<Record<string, string>>;
  /** 0: the kernel chooses one. */
  port: number;
  /** What to listen on; 127.0.0.1 by default. `0.0.0.0`: every address of this machine. */
  address?: string | undefined;
  /** Told of each request when its answer has ended. */
  onRequest?: ((request: ServedRequest) => void) | undefined;
}

export interface ServedRequest {
  method: string;
  /** As the client sent it. */
  path: string;
  status: number;
  /** Of the body, as sent. */
  bytes: number;
  /** The client's address. */
  client: string;
  /** Whether the client got the whole answer. */
  complete: boolean;
}

export interface RunningServer {
  /** For this machine, with a slash at the end. */
  url: string;
  /** The same for a guest of `npm run boot`, which reaches the host's loopback address as 10.0.2.2. */
  guestUrl: string;
  port: number;
  /** Ends the connections that are open, and the server. */
  close(): Promise<void>;
}

/** No client of ours is silent for that long in the middle of a download. */
const idleTimeout = 120_000;

/**
 * Serves the files below directories over HTTP/1.1 (RFC 9110): GET and HEAD, single byte ranges, conditional requests,
 * listings of directories. Hidden names, and whatever lies outside of the directories, do not exist for clients.
 * Throws TreelineError: 'usage' where a directory does not exist or the address is not this machine's, 'host' where
 * the port is taken.
 */
export async function serveDirectory(options: ServeOptions): Promise<RunningServer> {
  const mounts = await checkMounts(options.mounts);
  const server = createServer((request, response) => {
    const exchange = { request, response, sent: 0 };
    if (options.onRequest) reportWhenDone(exchange, options.onRequest);
    answer(mounts, exchange).catch(() => failed(exchange));
  });
  server.setTimeout(idleTimeout);
  const address = options.address ?? '127.0.0.1';
  const port = await listen(server, { port: options.port, address });
  return {
    url: `http://${urlHost(isEveryAddress(address) ? '127.0.0.1' : address)}:${port}/`,
    guestUrl: `http://${urlHost(isEveryAddress(address) || isLoopback(address) ? '10.0.2.2' : address)}:${port}/`,
    port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function checkMounts(wanted: Readonly<Record<string, string>>): Promise<Map<string, string>> {
  const mounts = new Map<string, string>();
  for (const [prefix, directory] of Object.entries(wanted)) {
    const real = await realPath(directory).catch(() => undefined);
    if (real === undefined || (await readEntry(real))?.kind !== 'directory') {
      throw new TreelineError('usage', `Cannot serve ${directory}: there is no such directory`, {
        hint: 'Build something first: npm run build:vm',
      });
    }
    mounts.set(`/${prefix}/`.replaceAll(/\/+/g, '/'), directory);
  }
  return mounts;
}

/** A request and its answer. */
interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Bytes of the answer's body so far. */
  sent: number;
}

async function answer(mounts: ReadonlyMap<string, string>, exchange: Exchange): Promise<void> {
  const { request, response } = exchange;
  // A body that nobody asked for must not stay in the connection.
  request.resume();
  response.setHeader('Server', 'treeline');
  response.setHeader('X-Content-Type-Options', 'nosniff');
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('Allow', 'GET, HEAD');
    return sendText(exchange, 405, 'Only GET and HEAD are answered here.');
  }
  const path = parseRequestPath(request.url ?? '');
  if (path === undefined) return sendText(exchange, 400, 'This is no path.');
  const mount = findMount(mounts, path.segments);
  const found = mount === undefined ? undefined : await openBelow(mount.directory, mount.below);
  if (found?.kind === 'file') {
    if (!path.isDirectory) return sendFile(exchange, found, contentType(path.segments.at(-1)!));
    await found.close();
  }
  const inner = mountsBelow(mounts, path.segments).map((name) => ({ name, size: undefined }));
  if (found?.kind === 'directory' || inner.length > 0) {
    if (!path.isDirectory) return redirect(exchange, path.segments);
    return sendListing(exchange, path.segments, [
      ...inner,
      ...(found?.kind === 'directory' ? found.entries : []),
    ]);
  }
  sendText(exchange, 404, 'There is no such file.');
}

async function sendFile(exchange: Exchange, file: OpenFile, type: string): Promise<void> {
  const { request, response } = exchange;
  const { status, headers, body } = planFileResponse(request.headers, file, Date.now());
  response.writeHead(status, body === undefined ? headers : { ...headers, 'Content-Type': type });
  if (request.method === 'HEAD' || body === undefined || body.start === body.end) {
    await file.close();
    response.end();
    return;
  }
  await pipeline(
    file.read(body.start, body.end),
    async function* counted(parts: AsyncIterable<Buffer>) {
      for await (const part of parts) {
        exchange.sent += part.length;
        yield part;
      }
      // Only a broken connection can tell the client now.
      if (exchange.sent < body.end - body.start) throw new Error('the file was cut while it was sent');
    },
    response,
  );
}

function sendListing(
  exchange: Exchange,
  segments: readonly string[],
  entries: OpenDirectory['entries'],
): void {
  const unique = [...new Map(entries.map((entry) => [entry.name, entry])).values()];
  send(exchange, { status: 200, type: 'text/html; charset=utf-8', text: listingPage(segments, unique) });
}

function redirect(exchange: Exchange, segments: readonly string[]): void {
  exchange.response.setHeader('Location', `/${segments.map(encodeURIComponent).join('/')}/`);
  sendText(exchange, 301, 'This is a directory: its name ends in a slash.');
}

const sendText = (exchange: Exchange, status: number, text: string): void =>
  send(exchange, { status, type: 'text/plain; charset=utf-8', text: `${text}\n` });

function send(
  exchange: Exchange,
  { status, type, text }: { status: number; type: string; text: string },
): void {
  const { request, response } = exchange;
  const length = Buffer.byteLength(text);
  response.writeHead(status, { 'Content-Type': type, 'Content-Length': length, 'Cache-Control': 'no-cache' });
  if (request.method === 'HEAD') {
    response.end();
    return;
  }
  exchange.sent = length;
  response.end(text);
}

function failed(exchange: Exchange): void {
  if (exchange.response.headersSent) exchange.response.destroy();
  else sendText(exchange, 500, 'This file cannot be read.');
}

function reportWhenDone(exchange: Exchange, onRequest: (request: ServedRequest) => void): void {
  const { request, response } = exchange;
  const client = request.socket.remoteAddress ?? '';
  response.once('close', () =>
    onRequest({
      method: request.method ?? '',
      path: request.url ?? '',
      status: response.statusCode,
      bytes: exchange.sent,
      client,
      // A client that leaves at once when it has all is faster than the response's end.
      complete:
        response.writableFinished ||
        (exchange.sent === Number(response.getHeader('Content-Length')) && response.writableLength === 0),
    }),
  );
}

function listen(server: Server, { port, address }: { port: number; address: string }): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(listenError(error, { port, address })));
    server.listen({ port, host: address }, () => resolve((server.address() as AddressInfo).port));
  });
}

function listenError(
  error: NodeJS.ErrnoException,
  { port, address }: { port: number; address: string },
): TreelineError {
  const what = `Cannot serve on ${address}, port ${port}`;
  switch (error.code) {
    case 'EADDRINUSE':
      return new TreelineError('host', `${what}: another program uses it`, {
        hint: 'Name another one with --port N.',
      });
    case 'EACCES':
      return new TreelineError('host', `${what}: this user may not`, {
        hint: 'Name a port above 1023 with --port N.',
      });
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EINVAL':
      return new TreelineError('usage', `${what}: this is no address of this machine`, {
        hint: 'ip -brief address lists them; --address 0.0.0.0 stands for all.',
      });
    default:
      return new TreelineError('host', `${what}: ${error.message}`, { cause: error });
  }
}

const isEveryAddress = (address: string): boolean => address === '0.0.0.0' || address === '::';
const isLoopback = (address: string): boolean =>
  address.startsWith('127.') || address === '::1' || address === 'localhost';
const urlHost = (address: string): string => (address.includes(':') ? `[${address}]` : address);
