import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, vi } from 'vitest';
import type { AttachOutput, Container } from '../helpers/lxc.ts';
import { startContainer } from '../helpers/lxc.ts';
import { spending } from '../helpers/spent.ts';
import type { Bridge } from './bridge.ts';
import { artifact, measured, readyMessage, seconds } from './figures.ts';
import type { BuiltVersion } from './images.ts';

/** A container made from a built version's template, in its default runlevel, with an address on the bridge. */
export interface TemplateContainer extends Container {
  /** Absolute; as the host sees it. */
  readonly rootfs: string;
  /** Restarts it from the inside, and waits for the default runlevel. */
  reboot(): Promise<void>;
  /** All output of a command that must not succeed. */
  refused(command: string): Promise<string>;
  /** `treeline upgrade` from a server on this port of the bridge's address. */
  upgrade(port: number): Promise<AttachOutput>;
  /** Ends it and removes its root file system. */
  remove(): Promise<void>;
}

/** As people unpack it: by lxc-create, or for OpenVZ, whose kernel LXC stands in for. `more`: lines of LXC configuration. */
export async function startTemplate(
  version: BuiltVersion,
  bridge: Bridge,
  more: readonly string[] = [],
): Promise<TemplateContainer> {
  const directory = await mkdtemp(join(tmpdir(), 'treeline-template-'));
  const removeFiles = async (): Promise<void> => {
    await execa('chattr', ['-R', '-f', '-i', directory], { reject: false });
    await rm(directory, { recursive: true, force: true });
  };
  let container: Container | undefined;
  let root = '';
  let starts = 0;
  // A login prompt may swallow the console's last line before it, so the log counts.
  const started = async (running: Container): Promise<void> => {
    starts += 1;
    await running.waitFor(/default runlevel reached|login: $/);
    const count = `grep -c '${readyMessage}' /var/log/messages`;
    await vi.waitFor(async () => expect((await running.attach(count)).stdout).toBe(String(starts)), 240_000);
  };
  try {
    const create = version.manifest.ref.endsWith('/ovz') ? unpackForOpenvz : createByLxc;
    const { rootfs, config } = await create(version, directory);
    root = rootfs;
    const network = ['veth', bridge.name, 'up'].map(
      (value, index) => `lxc.net.0.${['type', 'link', 'flags'][index]} = ${value}`,
    );
    const start = performance.now();
    await spending('container starts', async () => {
      container = await startContainer({ rootfs, config: [...config, ...network, ...more] });
      await started(container);
    });
    const what = `${version.manifest.ref}: from lxc-start to the default runlevel`;
    measured(what, seconds(performance.now() - start));
  } catch (error) {
    await container?.destroy();
    await removeFiles();
    throw error;
  }
  const running = container!;
  return {
    ...running,
    rootfs: root,
    // A getter does not survive the spread.
    get output() {
      return running.output;
    },
    async reboot() {
      await running.attach('reboot');
      await started(running);
    },
    async refused(command) {
      const { stdout, stderr, exitCode } = await running.attach(command);
      expect({ command, output: stdout + stderr, exitCode }).not.toMatchObject({ exitCode: 0 });
      return stdout + stderr;
    },
    upgrade: (port) =>
      running.attach(`treeline upgrade --url http://${bridge.address}:${port}`, { timeoutMs: 300_000 }),
    async remove() {
      await running.destroy();
      await removeFiles();
    },
  };
}

interface Created {
  rootfs: string;
  /** LXC configuration that came with the template. */
  config: string[];
}

/** By LXC's own means: the template `local` takes metadata and root file system. */
async function createByLxc(version: BuiltVersion, directory: string): Promise<Created> {
  const name = 'created';
  const where = ['--lxcpath', directory, '--name', name];
  const tarball = artifact(version, `lxc-${version.manifest.version}.tar.xz`);
  const template = ['--metadata', artifact(version, '-meta.tar.xz'), '--fstree', tarball];
  await execa('lxc-create', [...where, '--template', 'local', '--', ...template]);
  const config = await readFile(join(directory, name, 'config'), 'utf8');
  return {
    rootfs: join(directory, name, 'rootfs'),
    // Name, place and network are the test's.
    config: config.split('\n').filter((line) => !/^(#|lxc\.(uts|rootfs|net)\b|$)/.test(line)),
  };
}

/** As vzctl does: the tarball, unpacked. What OpenVZ's kernel would do is not here; LXC stands in for it. */
async function unpackForOpenvz(version: BuiltVersion, directory: string): Promise<Created> {
  const rootfs = join(directory, 'private');
  await mkdir(rootfs);
  const how = ['--extract', '--numeric-owner', '--xattrs', `--directory=${rootfs}`];
  await execa('tar', [...how, `--file=${artifact(version, '.tar.gz')}`]);
  return { rootfs, config: [] };
}
