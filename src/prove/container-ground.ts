import { TreelineError } from '../host/errors.ts';
import type { Host } from '../host/host.ts';
import { isInstalled, missingToolError } from '../host/tools.ts';
import type { Target } from '../model.ts';
import { serveDirectory } from '../release/serve.ts';
import { openBridge } from './bridge.ts';
import { prepareContainer } from './container.ts';
import type { Ground } from './ground.ts';
import { Downloads } from './ground.ts';

export function checkContainers(target: Target): void {
  const missing = ['lxc-start', 'lxc-attach', 'ip', 'busybox', 'chattr'].filter(
    (program) => !isInstalled(program),
  );
  if (missing.length > 0) throw missingToolError(missing);
  if (process.getuid?.() === 0) return;
  throw new TreelineError('host', `Cannot start containers for ${target}: only root may`, {
    hint: 'Run the same command as root (sudo).',
  });
}

/** Containers are on a bridge of their own with this machine; nothing leads from it to other networks. */
export async function openContainerGround(host: Host): Promise<Ground> {
  const bridge = await openBridge(host);
  try {
    const downloads = new Downloads();
    const server = await serveDirectory({
      mounts: { '/': host.workspace.output },
      port: 0,
      address: bridge.address,
      onRequest: downloads.onRequest,
    });
    const updateUrl = `http://${bridge.address}:${server.port}`;
    return {
      facts: { kind: 'container' },
      takeDownloads: () => downloads.take(),
      prepare: (within, request) => prepareContainer(within, { ...request, bridge: bridge.name, updateUrl }),
      async close() {
        await server.close();
        await bridge.close();
      },
    };
  } catch (error) {
    await bridge.close();
    throw error;
  }
}
