import type { Socket } from 'node:net';
import type { GuestOutput } from './guest.ts';

/**
 * The other side of overlays/prove/rootfs/etc/treeline-prove: runs commands in a guest over a byte stream. Lines to the
 * guest: `NUMBER BASE64`; from it: `prove ready` when it listens, `prove NUMBER EXIT-CODE BASE64`. Other lines do not count.
 */
export class SerialShell {
  readonly #socket: Socket;
  readonly #waiting = new Map<string, (answer: GuestOutput) => void>();
  #unfinished = '';
  #commands = 0;
  #becomeReady: () => void = () => {};
  /** Resolves when the guest listens; until then what is sent may be lost. */
  readonly ready: Promise<void>;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.ready = new Promise((resolve) => {
      this.#becomeReady = resolve;
    });
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.#add(text));
    // The guest's end is seen by whoever started it.
    socket.on('error', () => {});
  }

  /** Output (both kinds) and exit code of a shell command; never resolves where the guest ends before. */
  run(command: string): Promise<GuestOutput> {
    const number = this.#send(command);
    return new Promise((resolve) => this.#waiting.set(number, resolve));
  }

  /** The same for a command whose answer does not matter: `reboot`. */
  tell(command: string): void {
    this.#send(command);
  }

  close(): void {
    this.#socket.destroy();
  }

  #send(command: string): string {
    this.#commands += 1;
    const number = String(this.#commands);
    this.#socket.write(`${number} ${Buffer.from(command).toString('base64')}\n`);
    return number;
  }

  #add(text: string): void {
    const lines = (this.#unfinished + text).split('\n');
    this.#unfinished = lines.pop()!;
    for (const line of lines) this.#take(line.trimEnd());
  }

  #take(line: string): void {
    if (line === 'prove ready') return this.#becomeReady();
    const [, number, code, output] = /^prove (\d+) (\d+) ?([A-Za-z0-9+/=]*)$/.exec(line) ?? [];
    if (number === undefined) return;
    this.#waiting.get(number)?.({
      exitCode: Number(code),
      output: Buffer.from(output!, 'base64').toString('utf8').trimEnd(),
    });
    this.#waiting.delete(number);
  }
}
