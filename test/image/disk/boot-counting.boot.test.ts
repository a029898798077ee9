import { readlink, rename, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { emptyGrubEnvironment } from '../../../src/image/disk/grub-config.ts';
import { lacks } from '../../helpers/needs.ts';
import type { Decision } from './grub-session.ts';
import { countInGrub, startEntries } from './grub-session.ts';
import type { Place } from './sysroots.ts';
import { deploy, makePlace, makeSysroot } from './sysroots.ts';

const missing = lacks({ programs: ['qemu-system-x86_64', 'ostree', 'mke2fs', 'debugfs'], root: true });

const signature = '# GRUB Environment Block\n';
const block = (text: string, bytes = 1024): Buffer => Buffer.from(`${signature}${text}`.padEnd(bytes, '#'));
const withTries = (value: string): Buffer => block(`treeline_tries=${value}\n`);
const armed = withTries('3');
/** Signature and variable; filling stands behind. */
const meaningful = `${signature}treeline_tries=3\n`.length;

const wellFormed: Record<string, Buffer> = {
  three: armed,
  two: withTries('2'),
  one: withTries('1'),
  behindOthers: block('saved_entry=1\ndefault=7\ntreeline_tries=3\nfallback=7\n'),
  longer: block('treeline_tries=3\n', 1 << 20),
};
const withoutTries: Record<string, Buffer | undefined> = {
  missing: undefined,
  fresh: Buffer.from(emptyGrubEnvironment),
  empty: Buffer.alloc(0),
  zeros: Buffer.alloc(1024),
  ones: Buffer.alloc(1024, 0xff),
  cutOffInTheSignature: armed.subarray(0, 24),
  cutOffInTheVariable: armed.subarray(0, meaningful - 1),
  ofOthers: block('saved_entry=1\ndefault=7\nfallback=7\n'),
  ...Object.fromEntries(
    [
      '',
      '4',
      '-1',
      '03',
      '33',
      '3"',
      '"',
      '$default',
      '(',
      '!',
      '-s',
      '3; set default=7',
      '3'.repeat(900),
    ].map((value, index) => [`odd${index}`, withTries(value)]),
  ),
};

const makeSysrootWith = ({ directory }: Place, kernel: string): Promise<string> =>
  makeSysroot({ directory, kernel, initramfs: 'initramfs', kernelArguments: [] });

/** A sysroot with two boot entries, whose kernels are none. */
async function makeTwoVersions(place: Place): Promise<string> {
  const sysroot = await makeSysrootWith(place, 'no kernel');
  await deploy(sysroot, ['second']);
  return sysroot;
}

/** One byte destroyed: with every one of a few values where it says something, with one of them elsewhere. */
function damagedBlocks(everyFilling: number): Map<string, Buffer> {
  const values = [0x00, 0xff, 0x0a, 0x30, 0x5c, 0x3d];
  const blocks = new Map<string, Buffer>();
  for (let position = 0; position < armed.length; position++) {
    const chosen = position < meaningful + 2 ? values : [values[position % values.length]!];
    if (position > meaningful + 2 && position % everyFilling !== 0) continue;
    for (const value of chosen) {
      const bytes = Buffer.from(armed);
      bytes[position] = value;
      blocks.set(`${position}/${value}`, bytes);
    }
  }
  return blocks;
}

describe.skipIf(missing !== undefined).each([
  { firmware: 'BIOS', uefi: false, everyFilling: 1 },
  { firmware: 'UEFI', uefi: true, everyFilling: 13 },
])(
  `GRUB counting by $firmware${missing === undefined ? '' : ` (skipped: ${missing})`}`,
  ({ uefi, everyFilling }) => {
    let place: Place;
    let decided: Map<string, Decision>;
    const damaged = damagedBlocks(everyFilling);

    beforeAll(async () => {
      place = await makePlace();
      const sysroot = await makeSysrootWith(place, 'kernel');
      const cases = new Map<string, Buffer | undefined>([
        ...Object.entries({ ...wellFormed, ...withoutTries, zero: withTries('0') }),
        ...damaged,
      ]);
      decided = await countInGrub(place, { sysroot, cases, uefi });
    });
    afterAll(() => place.remove());

    test.each(Object.entries(wellFormed))('uses up a try of the newest version: %s', (name, before) => {
      const after = before.toString('latin1').replace(/(treeline_tries=)(\d)/, (_, label, tries) => {
        return `${label}${Number(tries) - 1}`;
      });
      const { entry, fallback, after: left } = decided.get(name)!;
      expect({ entry, fallback }).toEqual({ entry: 0, fallback: 1 });
      expect(left!.toString('latin1')).toBe(after);
    });

    test('starts the version before it where no try is left, and leaves that so', () => {
      expect(decided.get('zero')).toEqual({ entry: 1, fallback: 0, after: withTries('0') });
    });

    test.each(Object.entries(withoutTries))('starts the newest version without tries: %s', (name, before) => {
      expect(decided.get(name)).toEqual({ entry: 0, fallback: 1, after: before });
    });

    test('comes to a decision whatever byte is destroyed', () => {
      expect([...damaged.keys()].filter((name) => !decided.has(name))).toEqual([]);
    });

    test('never starts the newest version with tries that it can read and has not counted', () => {
      const uncounted = [...damaged.keys()].filter((name) => {
        const { entry, after } = decided.get(name)!;
        const readable = after!.subarray(0, meaningful).equals(armed.subarray(0, meaningful));
        return entry === 0 && readable;
      });
      expect(uncounted).toEqual([]);
    });

    test('changes nothing but the one digit', () => {
      const changed = [...damaged].filter(([name, before]) => {
        const after = Buffer.from(decided.get(name)!.after!);
        const digit = meaningful - 2;
        if (after[digit] === 0x32 && before[digit] === 0x33) after[digit] = 0x33;
        return !after.equals(before);
      });
      expect(changed.map(([name]) => name)).toEqual([]);
    });
  },
);

test.skipIf(missing !== undefined)(
  'where a kernel cannot be loaded, GRUB starts the other version at once, whichever that is',
  async () => {
    const place = await makePlace();
    try {
      const sysroot = await makeTwoVersions(place);
      expect(await startEntries(place, { sysroot, grubenv: armed })).toEqual([
        'Booting 0',
        'Falling back to 1',
      ]);
      // Not a bad file, but none.
      await rm(join(sysroot, 'boot/ostree'), { recursive: true });
      expect(await startEntries(place, { sysroot, grubenv: withTries('0') })).toEqual([
        'Booting 1',
        'Falling back to 0',
      ]);
    } finally {
      await place.remove();
    }
  },
);

test.skipIf(missing !== undefined)(
  'where power was lost while OSTree switched the list of entries, GRUB takes the one that can be read',
  async () => {
    const place = await makePlace();
    try {
      const sysroot = await makeTwoVersions(place);
      const loader = join(sysroot, 'boot/loader');
      const whole = await readlink(loader);
      await rm(loader);
      const grubenv = Buffer.from(emptyGrubEnvironment);
      expect(await startEntries(place, { sysroot, grubenv })).toEqual(['Booting 0', 'Falling back to 1']);
      const other = whole === 'loader.0' ? 'loader.1' : 'loader.0';
      await rename(join(sysroot, 'boot', whole), join(sysroot, 'boot', other));
      await symlink('nowhere', loader);
      expect(await startEntries(place, { sysroot, grubenv })).toEqual(['Booting 0', 'Falling back to 1']);
    } finally {
      await place.remove();
    }
  },
);
