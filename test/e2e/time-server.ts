import { createSocket } from 'node:dgram';

/** Seconds from 1900, where NTP begins to count, to 1970. */
const ntpEpoch = 2_208_988_800;

/**
 * A time server (RFC 4330) on port 123 of 127.0.0.1, which QEMU's guests reach as 10.0.2.2. undefined where this
 * machine has one already.
 */
export async function startTimeServer(): Promise<{ stop(): void } | undefined> {
  const socket = createSocket('udp4');
  socket.on('message', (query, client) => {
    if (query.length < 48) return;
    const answer = Buffer.alloc(48);
    const version = query.readUInt8(0) & 0x38;
    answer.writeUInt8(version | 4, 0);
    answer.writeUInt8(1, 1);
    answer.writeInt8(-20, 3);
    answer.write('LOCL', 12, 'latin1');
    query.copy(answer, 24, 40, 48);
    for (const offset of [16, 32, 40]) writeTimestamp(answer, offset, Date.now());
    socket.send(answer, client.port, client.address);
  });
  return new Promise((resolve) => {
    socket.once('error', () => resolve(undefined));
    socket.bind(123, '127.0.0.1', () => resolve({ stop: () => void socket.close() }));
  });
}

function writeTimestamp(packet: Buffer, offset: number, milliseconds: number): void {
  packet.writeUInt32BE(Math.floor(milliseconds / 1000) + ntpEpoch, offset);
  packet.writeUInt32BE(Math.floor(((milliseconds % 1000) / 1000) * 2 ** 32), offset + 4);
}
