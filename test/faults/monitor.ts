import { once } from 'node:events';
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

/** `path`: of the socket that `-qmp unix:PATH,server=on,wait=off` made. */
export async function openMonitor(path: string): Promise<Monitor> {
  const socket = createConnection(path);
  await once(socket, 'connect');
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
