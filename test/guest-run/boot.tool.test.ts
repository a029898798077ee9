import { existsSync } from 'node:fs';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BootOptions } from '../../src/guest/boot.ts';
import { fileSha256 } from '../../src/host/files.ts';
import { greeting, writeTinyImage } from './tiny-image.ts';

let room: string;
let main: string;
let image: string;

beforeAll(async () => {
  room = await mkdtemp(join(tmpdir(), 'boot-tool-'));
  main = join(room, 'boot.mjs');
  await build({
    entryPoints: [join(import.meta.dirname, 'boot-main.ts')],
    outfile: main,
    bundle: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'error',
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
  });
  image = join(room, 'tiny, with a comma.img');
  await writeTinyImage(image, 'power off');
});
afterAll(() => rm(room, { recursive: true }));

/** Boots without a terminal, in a workspace below the test's own room. `under`: a program and its arguments that run ours. */
const boot = (options: BootOptions, under: readonly string[] = []) => {
  const [program, ...args] = [...under, 'node', main, room, JSON.stringify(options)];
  return execa(program!, args, { reject: false, stdin: 'ignore', timeout: 240_000 });
};

describe('bootImage', () => {
  it('shows the guest’s console and leaves the image as it was', async () => {
    const before = await fileSha256(image);
    const { stdout, exitCode } = await boot({ image });
    expect(stdout).toContain(greeting.trim());
    expect(stdout).toMatch(/ssh -p \d+ .*root@127\.0\.0\.1/);
    expect(exitCode).toBe(0);
    expect(await fileSha256(image)).toBe(before);
    expect(await readdir(join(room, '.treeline/tmp'))).toEqual([]);
  });

  it('changes the image when it is told to', async () => {
    const changed = join(room, 'changed.img');
    await writeTinyImage(changed, 'power off');
    const before = await readFile(changed);
    expect((await boot({ image: changed, persist: true })).exitCode).toBe(0);
    const after = await readFile(changed);
    expect(after.subarray(512, 1024)).toEqual(before.subarray(0, 512));
  });

  it('finds out once how guests run here, and keeps to it', async () => {
    const file = join(room, '.treeline/accelerator.json');
    await rm(file, { force: true });
    const under = existsSync('/dev/kvm') ? [] : await withKvm();
    await boot({ image }, under);
    const found = JSON.parse(await readFile(file, 'utf8')) as { accelerator: string; bootId: string };
    expect(['kvm', 'tcg']).toContain(found.accelerator);
    await writeFile(file, JSON.stringify({ ...found, reason: 'it is remembered', accelerator: 'tcg' }));
    expect((await boot({ image }, under)).stdout).toContain('it is remembered');
    await writeFile(file, JSON.stringify({ ...found, reason: 'it is remembered', bootId: 'another boot' }));
    expect((await boot({ image }, under)).stdout).not.toContain('it is remembered');
    await writeFile(file, 'not JSON');
    expect((await boot({ image }, under)).exitCode).toBe(0);
  });

  it('prints a command line that a shell can run', async () => {
    const printed = await boot({ image, print: true, disk: '64M', memory: 128 });
    expect(printed.stdout).toMatch(/^TMPDIR=\S+ qemu-system-x86_64 .* -m 128 /);
    const { stdout, exitCode } = await execa('sh', ['-c', printed.stdout], {
      stdin: 'ignore',
      timeout: 240_000,
    });
    expect(stdout).toContain(greeting.trim());
    expect(exitCode).toBe(0);
  });

  it('starts OVMF for UEFI', async () => {
    const { stdout } = await boot({ image, uefi: true, print: true });
    expect(stdout).toMatch(/if=pflash,unit=0,format=raw,readonly=on,file=\S+OVMF_CODE\S*\.fd/);
    expect(stdout).toMatch(/if=pflash,unit=1,format=raw,snapshot=on,file=\S+OVMF_VARS\S*\.fd/);
  });

  it('refuses what does not fit', async () => {
    expect((await boot({ image, memory: 1 })).stderr).toContain('at least 64');
    expect((await boot({ image: join(room, 'none.img') })).stderr).toContain('npm run build:vm');
  });

  it('ends by ctrl-a x in a terminal and leaves the terminal as it was', async () => {
    const waiting = join(room, 'waiting.img');
    await writeTinyImage(waiting, 'wait');
    const command = `stty -a; node ${main} ${room} '${JSON.stringify({ image: waiting })}'; echo "ended: $?"; stty -a`;
    const child = execa('script', ['-qefc', command, '/dev/null'], {
      stdin: 'pipe',
      reject: false,
      timeout: 240_000,
    });
    await said(child.stdout, greeting.trim());
    child.stdin.write('\u0001x');
    await said(child.stdout, 'ended:');
    child.stdin.end();
    const { stdout } = await child;
    expect(stdout).toContain('ended: 0');
    const modes = stdout.match(/^.*\bicanon\b.*$/gm) ?? [];
    expect(modes).toHaveLength(2);
    expect(modes[1]).toBe(modes[0]);
  });

  it('ends its guest when it is ended itself, even by SIGKILL', async () => {
    const waiting = join(room, 'killed.img');
    await writeTinyImage(waiting, 'wait');
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      const child = execa('node', [main, room, JSON.stringify({ image: waiting })], {
        reject: false,
        timeout: 240_000,
      });
      await said(child.stdout, 'boot sector');
      child.kill(signal);
      await child;
      await expect.poll(() => processesWith(waiting), { timeout: 60_000 }).toBe('');
    }
  });
});

/** Runs a program where there is a /dev/kvm; nothing need stand behind it. */
async function withKvm(): Promise<string[]> {
  const devices = await mkdtemp(join(room, 'dev-'));
  const enter = `mount -t tmpfs dev "$0"
    for name in null zero random urandom; do : >"$0/$name"; mount --bind "/dev/$name" "$0/$name"; done
    mknod "$0/kvm" c 10 232
    mount --move "$0" /dev
    exec "$@"`;
  return ['unshare', '--mount', 'sh', '-e', '-c', enter, devices];
}

/** Waits until a program has written `text`. */
function said(stream: Readable, text: string): Promise<void> {
  let all = '';
  return new Promise((resolve, reject) => {
    stream.on('data', (part: Buffer) => {
      all += part.toString();
      if (all.includes(text)) resolve();
    });
    stream.once('end', () => reject(new Error(`it did not say "${text}": ${all}`)));
  });
}

/** Ids of the QEMUs that have this in their arguments. */
async function processesWith(text: string): Promise<string> {
  return (await execa('pgrep', ['-f', `qemu-system.*${text}`], { reject: false })).stdout;
}
