import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sha256 } from '../../src/host/files.ts';
import { openWorkspace } from '../../src/host/workspace.ts';
import type { UpdateIndex } from '../../src/release/update-index.ts';
import type { StaticServer } from '../faults/static-server.ts';
import { serveDirectory } from '../faults/static-server.ts';
import type { Versions } from '../faults/versions.ts';
import { furtherVersions } from '../faults/versions.ts';
import { renumbered } from '../helpers/kernels.ts';
import { measured, seconds } from './figures.ts';
import { givenImages } from './given.ts';
import type { Machine } from './machine.ts';
import { startMachine } from './machine.ts';

const { images, versions, skipped, note } = await givenImages([
  'qemu-system-x86_64',
  'qemu-img',
  'ssh',
  'lz4',
]);

/**
 * The new kernel is the distribution's own with another number in `uname -v`: all goes as with a newer one, but a delta
 * between two releases of Linux takes minutes to make.
 */
describe.skipIf(skipped)(`a machine with 128 MiB that gets a new kernel${note}`, () => {
  let directory: string;
  let updates: Versions;
  let server: StaticServer;
  let machine: Machine;
  let kernel: Buffer;
  let delta: UpdateIndex['deltas'][number];

  const upgrade = (command: string) => machine.ssh(`${command} 2>&1`, { timeoutMs: 600_000 });
  /** What an upgrade must not leave of its work on the disk. */
  const litter = (): Promise<string> =>
    machine.sshText(`ls -d /var/lib/treeline/kernel 2>/dev/null; ls /sysroot/ostree/repo/tmp | grep staging
      ostree refs --repo=/sysroot/ostree/repo; find /sysroot/ostree/repo/objects -name '*.commit' | wc -l`);

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'treeline-kernel-'));
    const { manifest } = versions.first.vm;
    updates = await furtherVersions(openWorkspace(images.workspace), manifest.ref, {
      directory,
      commit: manifest.commit,
    });
    await updates.make(
      async (before) => {
        const path = `${before.kernelDirectory}/vmlinuz`;
        kernel = renumbered(await before.read(path));
        return [{ path, content: kernel }];
      },
      { pair: true },
    );
    const index = JSON.parse(
      await readFile(join(updates.served, 'updates/index.json'), 'utf8'),
    ) as UpdateIndex;
    delta = index.deltas[0]!;
    server = await serveDirectory(updates.served);
    machine = await startMachine(versions.first.vm, {
      ...images.running.machine,
      running: images.running,
    });
  });
  afterAll(async () => {
    await machine?.remove();
    await server?.stop();
    await updates?.remove();
    await rm(directory, { recursive: true, force: true });
  });

  it('downloads what changed inside the kernel, and nothing of the whole one', async () => {
    const { exitCode, stdout } = await upgrade(
      `treeline upgrade --download --url http://10.0.2.2:${server.port}`,
    );
    expect({ exitCode, stdout }).toMatchObject({ exitCode: 0 });
    const there = await machine.sshText('cd /var/lib/treeline/downloads && ls *.delta');
    const { kernel: part, rest } = delta.pair!;
    expect(there.split('\n').toSorted()).toEqual(
      [part, rest].map((file) => `${file.sha256}.delta`).toSorted(),
    );
    measured('a new kernel', `${part.bytes} + ${rest.bytes} bytes, ${delta.bytes} as one delta`);
  });

  it('stays as it is where the kernel cannot be put together, and asks for the whole one', async () => {
    const before = await litter();
    await machine.sshText(
      String.raw`mkdir /run/other && printf '#!/bin/sh\nexit 1\n' >/run/other/lz4 && chmod +x /run/other/lz4`,
    );
    const { exitCode, stdout } = await upgrade('PATH=/run/other:$PATH treeline upgrade --apply');
    expect(stdout).toContain('cannot be put together here');
    expect(stdout).toContain('not all of version');
    expect(exitCode).toBe(1);
    expect(await litter()).toBe(before);
    // It is remembered, and forgotten for what comes next.
    await machine.sshText('rm /var/lib/treeline/kernel-refused');
  });

  it('puts the very kernel together, and leaves nothing of that behind', async () => {
    // As a power cut leaves it, in the middle of another try.
    await machine.sshText('mkdir -p /var/lib/treeline/kernel/old && echo x >/var/lib/treeline/kernel/old/10');
    const before = performance.now();
    const { exitCode, stdout } = await upgrade('treeline upgrade --apply');
    measured('a new kernel, put together in 128 MiB', seconds(performance.now() - before));
    expect({ exitCode, stdout }).toMatchObject({ exitCode: 0 });
    expect(stdout).not.toContain('cannot be put together');
    const sums = await machine.sshText('sha256sum /boot/ostree/*/vmlinuz-* | cut -c 1-64');
    expect(sums.split('\n')).toContain(sha256(kernel));
    expect(await machine.sshText('ls /var/lib/treeline')).not.toContain('kernel');
    // The two deployed ones, and none of those between.
    expect(await machine.sshText('find /sysroot/ostree/repo/objects -name "*.commit" | wc -l')).toBe('2');
  });

  it('starts it, and is well', async () => {
    await machine.reboot();
    expect(await machine.sshText('uname -v')).toMatch(/^#7 SMP /);
    expect(await machine.sshText('treeline version')).toBe(updates.head.version);
    expect(await machine.sshText('treeline health')).not.toContain('failed');
  });
});
