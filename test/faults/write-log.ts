import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import type { Random } from './random.ts';

/**
 * One request that a disk got. `offset`, `bytes`: on the disk; `data`: where the written bytes lie in the log, undefined
 * for a request that writes none.
 */
export interface LoggedRequest {
  kind: 'write' | 'flush' | 'discard';
  offset: number;
  bytes: number;
  data: number | undefined;
}

export interface WriteLog {
  file: string;
  /** In the order in which the disk finished them. */
  requests: LoggedRequest[];
}

const magic = 0x6a_73_66_77_73_68_72n;
const flags = { flush: 1n, discard: 4n } as const;
const headerBytes = 32;

/** QEMU's arguments for a block device `disk0` whose requests are logged: all writes, and the flushes between them. */
export function loggedDisk(disk: string, log: string): string[] {
  const file = { driver: 'qcow2', discard: 'unmap', file: { driver: 'file', filename: disk } };
  const node = {
    ...{ driver: 'blklogwrites', 'node-name': 'disk0', 'log-sector-size': 512 },
    ...{ file, log: { driver: 'file', filename: log } },
  };
  return ['-blockdev', JSON.stringify(node), '-device', 'virtio-blk-pci,drive=disk0,bootindex=0'];
}

/**
 * Reads a log of QEMU's driver blklogwrites (the format of Linux's dm-log-writes:
 * Documentation/admin-guide/device-mapper/log-writes.rst), as far as it goes: the count in its head may be an old one.
 */
export function readWriteLog(path: string, size: number): WriteLog {
  const file = openSync(path, 'r');
  try {
    const head = Buffer.alloc(headerBytes);
    readSync(file, head, 0, headerBytes, 0);
    if (head.readBigUInt64LE(0) !== magic) throw new Error(`${path} is no log of writes`);
    const sector = head.readUInt32LE(24);
    const requests: LoggedRequest[] = [];
    for (let position = sector; position + sector <= size;) {
      readSync(file, head, 0, headerBytes, position);
      const [start, sectors, flag] = [0, 8, 16].map((at) => head.readBigUInt64LE(at)) as [
        bigint,
        bigint,
        bigint,
      ];
      const [offset, bytes] = [Number(start) * sector, Number(sectors) * sector];
      const kind =
        (flag & flags.discard) !== 0n ? 'discard' : (flag & flags.flush) !== 0n ? 'flush' : 'write';
      // Flushes and discards are followed by nothing.
      const data = kind === 'write' ? position + sector : undefined;
      position += sector + (data === undefined ? 0 : bytes);
      if (position > size) break;
      requests.push({ kind, offset, bytes, data });
    }
    return { file: path, requests };
  } finally {
    closeSync(file);
  }
}

/** What a disk may have kept of what it had not been told to flush when the power went. */
export const losses = [
  'nothing is lost',
  'all is lost',
  'some is lost',
  'some is lost, some is torn',
] as const;
export type Loss = (typeof losses)[number];

/**
 * The requests that reach the disk where the power goes after `count` of them. What was written before the last flush is
 * there; of the rest, what `loss` says, drawn from `random`. A write is torn at a sector of 512 bytes.
 */
export function survivors(
  requests: readonly LoggedRequest[],
  { count, loss, random }: { count: number; loss: Loss; random: Random },
): LoggedRequest[] {
  const before = requests.slice(0, count);
  const safe = before.findLastIndex(({ kind }) => kind === 'flush') + 1;
  return before.flatMap((request, index) => {
    if (index < safe || loss === 'nothing is lost') return [request];
    if (loss === 'all is lost' || random.fraction() < 0.5) return [];
    if (loss === 'some is lost' || request.kind !== 'write') return [request];
    const bytes = 512 * (1 + random.below(request.bytes / 512));
    return [{ ...request, bytes }];
  });
}

/** Does to a raw disk what requests of a log say. A discarded range keeps what it held, as disks may do. */
export function applyRequests(log: string, requests: readonly LoggedRequest[], rawDisk: string): void {
  const [from, to] = [openSync(log, 'r'), openSync(rawDisk, 'r+')];
  try {
    for (const { offset, bytes, data } of requests) {
      if (data === undefined) continue;
      const buffer = Buffer.alloc(bytes);
      readSync(from, buffer, 0, bytes, data);
      writeSync(to, buffer, 0, bytes, offset);
    }
  } finally {
    closeSync(from);
    closeSync(to);
  }
}
