import { fileSize, pathExists, readBytesAt } from '../host/files.ts';

export interface FileFollower {
  /** Hands on what is still missing, and ends. */
  stop(): Promise<void>;
}

/** Milliseconds. */
const interval = 50;

/** Hands on the text that a file grows by; it need not exist yet. */
export function followFile(path: string, add: (text: string) => void): FileFollower {
  const decoder = new TextDecoder();
  const stopped = new AbortController();
  let position = 0;
  const read = async (): Promise<void> => {
    if (!(await pathExists(path))) return;
    const bytes = await readBytesAt(path, position, Math.max(0, (await fileSize(path)) - position));
    position += bytes.length;
    if (bytes.length > 0) add(decoder.decode(bytes, { stream: true }));
  };
  const following = (async () => {
    while (!stopped.signal.aborted) {
      await read();
      await new Promise((resolve) => setTimeout(resolve, interval));
    }
    await read();
  })();
  return {
    async stop() {
      stopped.abort();
      await following;
    },
  };
}
