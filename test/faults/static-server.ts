import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, normalize } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';

export interface StaticServer {
  port: number;
  stop(): Promise<void>;
}

/**
 * Serves a directory as any static web host does, with ranges. `bytesPerSecond`: no faster than that, so that a download
 * lasts long enough to be disturbed.
 */
export async function serveDirectory(
  directory: string,
  { address = '127.0.0.1', bytesPerSecond }: { address?: string; bytesPerSecond?: number } = {},
): Promise<StaticServer> {
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = decodeURIComponent(new URL(request.url ?? '/', 'http://localhost').pathname);
    const file = join(directory, normalize(path));
    const size = await stat(file).then(
      (entry) => entry.size,
      () => undefined,
    );
    if (size === undefined) return void response.writeHead(404).end();
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const range = start === 0 ? {} : { 'content-range': `bytes ${start}-${size - 1}/${size}` };
    response.writeHead(start === 0 ? 200 : 206, { 'content-length': size - start, ...range });
    const content = createReadStream(file, { start });
    // A guest that goes away in the middle is what is tried here.
    await pipeline([
      content,
      ...(bytesPerSecond === undefined ? [] : [slowDown(bytesPerSecond)]),
      response,
    ]).catch(() => {});
  };
  const server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen({ port: 0, host: address }, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

const slowDown = (bytesPerSecond: number): Transform =>
  new Transform({
    transform(chunk: Buffer, _, done) {
      void sleep((chunk.length / bytesPerSecond) * 1000).then(() => done(null, chunk));
    },
  });
