import { existsSync } from 'node:fs';
import { copyFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Bridge } from './bridge.ts';
import { createBridge } from './bridge.ts';
import { givenImages } from './given.ts';
import type { TemplateContainer } from './template.ts';
import { startTemplate } from './template.ts';

const { images, versions, skipped, note } = await givenImages(['lxc-start', 'lxc-create', 'ip', 'busybox']);

const memory = existsSync('/sys/fs/cgroup/cgroup.controllers')
  ? ['lxc.cgroup2.memory.max = 64M', 'lxc.cgroup2.memory.swap.max = 0']
  : ['lxc.cgroup.memory.limit_in_bytes = 64M'];

describe.skipIf(skipped)(`a container with 64 MiB of memory, caches included${note}`, () => {
  const first = versions.first?.lxc;
  const second = versions.second?.lxc;
  let bridge: Bridge;
  let container: TemplateContainer;

  beforeAll(async () => {
    bridge = await createBridge();
    container = await startTemplate(first, bridge, memory);
  });
  afterAll(async () => {
    await container?.remove();
    await bridge?.remove();
  });

  it('has no more than that', async () => {
    await expect(container.attachText('dd if=/dev/zero of=/dev/null bs=96M count=1')).rejects.toThrow(
      /exit code/,
    );
  });

  it('upgrades by the delta from nothing, the one that needs the most', async () => {
    const updates = join(images.workspace, 'out/updates');
    const start = `${second.manifest.ref.split('/').slice(1).join('-')}-from-nothing-`;
    const [name] = (await readdir(updates)).filter((file) => file.startsWith(start)) as [string];
    await copyFile(
      join(updates, name),
      join(container.rootfs, 'ostree/deploy/treeline/var/tmp/carried.delta'),
    );
    const said = await container.attachText('treeline upgrade /var/tmp/carried.delta', {
      timeoutMs: 300_000,
    });
    expect(said).toContain(`version ${second.manifest.version} is ready`);
  });

  it('starts the new version, which is healthy', async () => {
    await container.reboot();
    expect(await container.attachText('treeline version')).toBe(second.manifest.version);
    expect(await container.attachText('treeline health')).not.toContain('failed');
  });
});
