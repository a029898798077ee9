import { once } from 'node:events';
import type { Socket } from 'node:net';
import { createConnection } from 'node:net';
import { createInterface } from 'node:readline';

/** QEMU's monitor: see QMP's specification, docs/interop/qmp-spec.txt of QEMU. */
export interface Monitor {
  /** The answer's `return`. Throws where QEMU refuses. */
  ask(command: string, parameters?: Readonly<Record<string, unknown>>): Promise<unknown>;
  close(): void;
}

interface Answer {
  return?: unknown;
  error?: { desc: string };
}

/** `path`: of the socket that `-qmp unix:PATH,server=on,wait=off` makes; QEMU may have been started just now. */
export async function openMonitor(path: string): Promise<Monitor> {
  const socket = await connectWhenThere(path);
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  // QEMU may end while we talk; the next line then does not come, and that is the error.
  socket.on('error', () => {});
  const ask: Monitor['ask'] = async (execute, parameters) => {
    socket.write(`${JSON.stringify({ execute, arguments: parameters })}\n`);
    for (;;) {
      const { value, done } = await lines.next();
      if (done === true) throw new Error(`QEMU ended before it answered ${execute}`);
      const answer = JSON.parse(String(value)) as Answer;
      if (answer.error !== undefined) throw new Error(`QEMU refuses ${execute}: ${answer.error.desc}`);
      // Others are greetings and events.
      if ('return' in answer) return answer.return;
    }
  };
  await ask('qmp_capabilities');
  return { ask, close: () => socket.destroy() };
}

/** QEMU makes the socket some time after it was started, and listens to it a little later. */
async function connectWhenThere(path: string): Promise<Socket> {
  const deadline = Date.now() + 120_000;
  for (;;) {
    const socket = createConnection(path);
    try {
      await once(socket, 'connect');
      return socket;
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
