import { open } from 'node:fs/promises';

const readAtOnce = 1 << 20;

/** The offset of the first byte that two files do not have in common; where one ends, if it is a beginning of the other. */
export async function firstDifference(here: string, elsewhere: string): Promise<number | undefined> {
  const files = await Promise.all([open(here), open(elsewhere)]);
  try {
    const buffers = files.map(() => Buffer.allocUnsafe(readAtOnce));
    for (let position = 0; ;) {
      const [ours, theirs] = await Promise.all(
        files.map(async (file, index) => {
          const { bytesRead } = await file.read(buffers[index]!, 0, readAtOnce, position);
          return buffers[index]!.subarray(0, bytesRead);
        }),
      );
      const common = Math.min(ours!.length, theirs!.length);
      if (!ours!.subarray(0, common).equals(theirs!.subarray(0, common))) {
        return position + ours!.findIndex((byte, index) => byte !== theirs![index]);
      }
      // A read may return less than there is; only one of nothing is the end.
      if (common === 0) return ours!.length === theirs!.length ? undefined : position;
      position += common;
    }
  } finally {
    await Promise.all(files.map((file) => file.close()));
  }
}
