import type { Random } from './random.ts';

/** Something that happened to a file. */
export interface Damage {
  number: number;
  /** `a byte changed at 12 %`. */
  what: string;
  change(file: Buffer): Buffer;
}

/** Changed, missing and surplus bytes at places drawn from `random`: `count` of each kind, and a cut in half. */
export function damages(random: Random, count: number): Damage[] {
  const kinds = [
    {
      what: 'a byte changed',
      at: (file: Buffer, place: number) => {
        const copy = Buffer.from(file);
        copy[place]! ^= 1 << (place % 8);
        return copy;
      },
    },
    {
      what: 'a byte missing',
      at: (file: Buffer, place: number) => Buffer.concat([file.subarray(0, place), file.subarray(place + 1)]),
    },
    {
      what: 'a byte too many',
      at: (file: Buffer, place: number) =>
        Buffer.concat([file.subarray(0, place), Buffer.from([0x55]), file.subarray(place)]),
    },
  ];
  const some = kinds.flatMap(({ what, at }) =>
    Array.from({ length: count }, () => {
      const fraction = random.fraction();
      return {
        what: `${what} at ${(100 * fraction).toFixed(1)} %`,
        change: (file: Buffer) => at(file, Math.floor(file.length * fraction)),
      };
    }),
  );
  const half = { what: 'no second half', change: (file: Buffer) => file.subarray(0, file.length >> 1) };
  return [...some, half].map((damage, index) => ({ number: index + 1, ...damage }));
}
