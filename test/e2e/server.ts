import { createServer, request as httpRequest } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createServer as createTcpServer } from 'node:net';
import { join } from 'node:path';
import { execa } from 'execa';

const home = join(import.meta.dirname, '../..');

/** `npm run serve` of a workspace, on a free port of 127.0.0.1. */
export async function startServe(workspace: string): Promise<{ port: number; stop(): Promise<void> }> {
  const port = await freePort();
  const script = join(home, 'scripts/serve.mjs');
  const child = execa(
    'setpriv',
    ['--pdeathsig', 'KILL', 'node', script, '--workspace', workspace, '--port', String(port)],
    { cwd: home, reject: false, stdin: 'ignore', all: true },
  );
  let said = '';
  await new Promise<void>((resolve, reject) => {
    child.all.on('data', (part: Buffer) => {
      said += part.toString();
      if (said.includes(`:${port}`)) resolve();
    });
    void child.then(() => reject(new Error(`npm run serve ended: ${said}`)));
  });
  return {
    port,
    async stop() {
      child.kill('SIGTERM');
      await child;
    },
  };
}

/** One request that a guest made. */
export interface SeenRequest {
  method: string;
  path: string;
  status: number;
  /** Of the answer's body. */
  bytes: number;
}

export interface Recorder {
  port: number;
  /** Since the last call. */
  takeRequests(): SeenRequest[];
  /** Changes the bodies of answers whose path fits, until the next call; without arguments nothing is changed. */
  tamper(path?: RegExp, change?: (body: Buffer) => Buffer): void;
  stop(): Promise<void>;
}

/** Stands between guests and `npm run serve`: sees what they ask for, and can damage what they get. */
export async function startRecorder(upstreamPort: number, address = '127.0.0.1'): Promise<Recorder> {
  let seen: SeenRequest[] = [];
  let damage: { path: RegExp; change: (body: Buffer) => Buffer } | undefined;
  const server = createServer((request, response) => {
    pass(request, response).catch((error: Error) => response.destroy(error));
  });
  const pass = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = request.url ?? '/';
    const method = request.method ?? 'GET';
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      httpRequest({ port: upstreamPort, host: '127.0.0.1', path, method, headers: request.headers }, resolve)
        .on('error', reject)
        .end();
    });
    const parts: Buffer[] = [];
    for await (const part of answer) parts.push(part as Buffer);
    const body = Buffer.concat(parts);
    seen.push({ method, path, status: answer.statusCode ?? 0, bytes: body.length });
    const sent = damage?.path.test(path) === true ? damage.change(body) : body;
    const length = sent === body ? {} : { 'content-length': sent.length };
    response.writeHead(answer.statusCode ?? 502, { ...answer.headers, ...length });
    response.end(sent);
  };
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen({ port: 0, host: address }, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    takeRequests() {
      const taken = seen;
      seen = [];
      return taken;
    },
    tamper(path, change) {
      damage = path === undefined || change === undefined ? undefined : { path, change };
    },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** The same length, the byte in the middle inverted. */
export function flipByte(body: Buffer): Buffer {
  const copy = Buffer.from(body);
  const middle = copy.length >> 1;
  copy.writeUInt8(copy.readUInt8(middle) ^ 0xff, middle);
  return copy;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createTcpServer();
    server.once('error', reject).listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
