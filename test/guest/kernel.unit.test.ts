import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bzImage, payloadStart } from '../helpers/kernels.ts';
import { lacks } from '../helpers/needs.ts';
import { withLibrary } from './busybox.ts';

const missing = lacks({ programs: ['busybox', 'lz4'] });
const note = missing === undefined ? '' : ` (skipped: ${missing})`;
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'treeline-kernel-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe.skipIf(missing !== undefined)(`a kernel in parts${note}`, () => {
  const split = (image: Buffer) => {
    writeFileSync(join(directory, 'vmlinuz'), image);
    return withLibrary(['common', 'upgrade'], `cd ${directory}; split_kernel vmlinuz parts || exit 7`);
  };
  const content = Buffer.alloc((8 << 20) + 5, 'what is inside the kernel ');

  it('is its head, what is inside by 8 MiB, and its tail', () => {
    expect(split(bzImage(content))).toEqual({ status: 0, stdout: '', stderr: '' });
    const part = (name: string): Buffer => readFileSync(join(directory, 'parts', name));
    expect(readdirSync(join(directory, 'parts')).toSorted()).toEqual(['10', '11', 'head', 'tail']);
    expect(part('head').equals(bzImage(content).subarray(0, payloadStart))).toBe(true);
    expect(part('10').equals(content.subarray(0, 8 << 20))).toBe(true);
    expect(part('11').equals(content.subarray(8 << 20))).toBe(true);
    expect(part('tail').readUInt32LE(0)).toBe(content.length);
    expect(part('tail').subarray(4).toString()).toBe('tail of the image');
  });

  it.each([8 << 20, 100])('is put together to the same bytes, with %i inside', (length) => {
    const image = bzImage(content.subarray(0, length));
    expect(split(image).status).toBe(0);
    const { stderr } = withLibrary(
      ['common', 'upgrade'],
      `join_kernel ${directory}/parts >${directory}/joined`,
    );
    expect(stderr).toBe('');
    expect(readFileSync(join(directory, 'joined')).equals(image)).toBe(true);
  });

  const changed = (change: (image: Buffer) => void): Buffer => {
    const image = bzImage(content.subarray(0, 1000));
    change(image);
    return image;
  };
  it.each<[string, Buffer]>([
    ['of no bytes', Buffer.alloc(0)],
    ['that ends in its header', bzImage(content.subarray(0, 1000)).subarray(0, 580)],
    ['without the magic of the boot protocol', changed((image) => void image.write('HdrX', 514))],
    ['packed by gzip', bzImage(content, { payload: Buffer.from('1f8b0800000000000003', 'hex') })],
    ['packed in LZ4’s newer frame', changed((image) => void image.writeUInt32LE(0x184d2204, payloadStart))],
    ['with a payload of no length', changed((image) => void image.writeUInt32LE(0, 588))],
    ['with a payload longer than the file', changed((image) => void image.writeUInt32LE(1e9, 588))],
    ['with a payload behind its end', changed((image) => void image.writeUInt32LE(0xffff_fff0, 584))],
    ['with nothing inside', bzImage(Buffer.alloc(0))],
  ])('is not made of a file %s', (_, image) => {
    expect(split(image).status).toBe(7);
  });
});

const sum = (letter: string): string => letter.repeat(64);
const whole = { file: 'whole.delta', bytes: 1000, sha256: sum('e'), unpackedBytes: 30, memory: 5 };
const pair = {
  'kernel/from': sum('1'),
  'kernel/to': sum('2'),
  'kernel/file': 'k.delta',
  'kernel/bytes': 300,
  'kernel/sha256': sum('3'),
  'kernel/unpackedBytes': 100,
  'rest/from': sum('4'),
  'rest/file': 'r.delta',
  'rest/bytes': 200,
  'rest/sha256': sum('5'),
  'rest/unpackedBytes': 40,
  memory: 2048,
};
const [running, target] = [sum('a'), sum('b')];

/** What a machine does with an index in which a delta has a pair; `free` in KiB. */
function machine(
  lines: string,
  { fields = {}, memory = 1000, room = 1_000_000, have = [] as string[], from = running as string } = {},
) {
  const entries = Object.entries({ ref: 'r', from, to: target, ...whole }).map(
    ([name, value]) => `/deltas/0/${name}\t${value}\n`,
  );
  const paired = Object.entries({ ...pair, ...fields }).map(
    ([name, value]) => `/deltas/0/pair/${name}\t${value}\n`,
  );
  writeFileSync(join(directory, 'index'), [...entries, ...paired].join(''));
  writeFileSync(join(directory, 'meminfo'), `MemAvailable: ${memory} kB\nSwapFree: 0 kB\n`);
  mkdirSync(join(directory, 'downloads'));
  for (const name of have) writeFileSync(join(directory, 'downloads', `${name}.delta`), '');
  return withLibrary(
    ['common', 'upgrade'],
    `work=${directory} ref=r target_commit=${target} target_version=2 commit=${running} first_commit=${running}
     version=1 origin=o downloads=${directory}/downloads meminfo=${directory}/meminfo cgroups=${directory}
     kernel_refused=${directory}/refused kernel_place=${directory}/kernel source=network
     free_space() { echo ${room}; }
     ${lines}`,
  );
}

describe.skipIf(missing !== undefined)(`the pair of a kernel’s delta and the rest’s${note}`, () => {
  const route = (lines: string, options = {}): string =>
    machine(`${lines}\nchoose_route && cat $work/route`, options).stdout;
  const pairLines = `k.delta 300 ${sum('3')} 100 2048 ${running} ${sum('1')} ${sum('2')} ${sum('4')}
r.delta 200 ${sum('5')} 40 2048
`;
  const wholeLine = `whole.delta 1000 ${sum('e')} 30 5\n`;

  it('is taken where it has fewer bytes', () => {
    expect(route('')).toBe(pairLines);
  });

  it.each<[string, string, object]>([
    ['has more bytes', '', { fields: { 'rest/bytes': 701 } }],
    ['needs more memory than is free', '', { memory: 1 }],
    ['needs more room than is free', '', { room: 16_383 }],
    ['has failed here before', `echo ${target} >$kernel_refused`, {}],
    ['needs an lz4 that is not there', 'command() { return 1; }', {}],
  ])('is not taken where it %s', (_, lines, options) => {
    expect(route(lines, options)).toBe(wholeLine);
  });

  it('is taken though that of another version has failed here', () => {
    expect(route(`echo ${sum('9')} >$kernel_refused`)).toBe(pairLines);
  });

  const saved = (have: string[]) => machine('choose_saved_route && cat $work/route', { have });
  it('is what --apply takes where --download has left it, and the whole delta where it has left that', () => {
    expect(saved([sum('3'), sum('5')]).stdout).toBe(pairLines);
    rmSync(join(directory, 'downloads'), { recursive: true });
    expect(saved([sum('e')]).stdout).toBe(wholeLine);
  });

  it.each([[[sum('3')]], [[sum('5')]]])('is of no use by half', (have) => {
    expect(saved(have).stderr).toContain('not all of version 2 has been downloaded');
  });

  it.each([
    { 'kernel/file': '../k.delta' },
    { 'rest/file': '-O' },
    { 'kernel/from': '$(reboot)' },
    { 'kernel/to': 'x' },
    { 'rest/from': sum('B') },
    { 'kernel/sha256': '' },
    { 'kernel/bytes': '1e3' },
    { 'rest/unpackedBytes': '-1' },
    { memory: '9'.repeat(16) },
  ])('is refused with all of the index where it says %j', (fields) => {
    const { status, stdout, stderr } = machine('choose_route', { fields });
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toContain('is damaged');
  });

  it('does not go with a delta from nothing', () => {
    expect(machine('choose_route', { from: 'null' }).stderr).toContain('is damaged');
  });

  const apply = (brings: string, more = '') =>
    machine(
      `check_delta() { :; }
       bring_kernel() { shift 4; echo "kernel by \${1##*/}"; ${brings}; }
       unpack() { echo "unpacked \${1##*/}"; }
       forget_objects() { echo 'objects forgotten'; }
       download_route() { echo downloaded; }
       choose_route; ${more}
       apply_route; echo "after: $(cat $kernel_refused 2>/dev/null)"; cat $work/kernel`,
    );

  it('is unpacked in its order: the kernel, then the rest', () => {
    expect(apply('return 0')).toEqual({
      status: 0,
      stderr: '',
      stdout: `treeline: unpacking\nunpacked ${sum('5')}.delta\nafter: \nkernel by ${sum('3')}.delta\n`,
    });
  });

  it('gives way to the whole delta where the kernel cannot be put together, from then on', () => {
    const { status, stdout, stderr } = apply('return 1');
    expect(status).toBe(0);
    expect(stderr).toContain('kernel by');
    expect(stdout.split('\n').slice(1, 6)).toEqual([
      'treeline: the kernel of version 2 cannot be put together here from what has changed in it: taking all of it',
      'objects forgotten',
      'downloaded',
      'treeline: unpacking',
      `unpacked ${sum('e')}.delta`,
    ]);
    expect(stdout).toContain(`after: ${target}`);
  });

  it('asks for the network where only the pair was downloaded, and the kernel cannot be put together', () => {
    const { status, stdout, stderr } = apply('return 1', 'source=saved');
    expect(status).toBe(1);
    expect(stdout).not.toContain('unpacked');
    expect(stderr).toContain('not all of version 2 has been downloaded: treeline upgrade --download');
    expect(readFileSync(join(directory, 'refused'), 'utf8')).toBe(`${target}\n`);
  });
});

describe.skipIf(missing !== undefined)(`a kernel that cannot be put together${note}`, () => {
  it('leaves nothing behind, and the reason is told', () => {
    writeFileSync(join(directory, 'image'), bzImage(Buffer.alloc(1000, 'x')));
    const { status, stdout } = withLibrary(
      ['common', 'upgrade'],
      `kernel_place=${directory}/kernel repository=/repo
       kernel_of() { echo /vmlinuz; }
       ostree() { case "$1" in cat) cat ${directory}/image ;; init | config) ;; commit) echo ${sum('7')} ;; *) echo "not expected: $*"; exit 9 ;; esac; }
       bring_kernel ${running} ${sum('1')} ${sum('2')} ${sum('4')} /delta && exit 0; echo failed`,
    );
    expect({ status, stdout }).toEqual({ status: 0, stdout: 'failed\n' });
    expect(existsSync(join(directory, 'kernel'))).toBe(false);
  });
});
