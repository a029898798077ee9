import { join } from 'node:path';
import { anyExitCode } from '../host/command.ts';
import { remove, sha256, temporaryDirectory, writeFile } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import type { Workspace } from '../host/workspace.ts';
import { startProcess } from '../host/process.ts';
import { unstoppable } from './cleanup.ts';

/** A network of its own between this machine and containers, with a DHCP server. */
export interface Bridge {
  /** For lxc.net.N.link. */
  name: string;
  /** Of this machine on the bridge. */
  address: string;
  close(): Promise<void>;
}

/** One a workspace, since its lock lets one process prove at a time: what a killed one left is known by its name. */
export const bridgeName = ({ root }: Workspace): string => `tlp${sha256(root).slice(0, 10)}`;

/** Needs root. The addresses are private ones (RFC 1918). */
export async function openBridge(host: Host): Promise<Bridge> {
  const name = bridgeName(host.workspace);
  const network = `10.214.${Number.parseInt(sha256(name).slice(0, 2), 16)}`;
  const address = `${network}.1`;
  const directory = await temporaryDirectory(host.workspace.temporary, 'prove-network');
  const configuration = join(directory, 'udhcpd.conf');
  await writeFile(configuration, dhcpConfiguration({ name, network, directory }));
  await writeFile(join(directory, 'leases'), '');
  const ip = (...args: string[]) => host.run({ program: 'ip', args, doing: 'make a network for containers' });
  const removeLink = () =>
    unstoppable(host).run({ program: 'ip', args: ['link', 'delete', name], accept: anyExitCode });
  const removeAll = async (): Promise<void> => {
    await removeLink();
    await remove(directory);
  };
  try {
    await removeLink();
    await ip('link', 'add', name, 'type', 'bridge');
    await ip('address', 'add', `${address}/24`, 'dev', name);
    await ip('link', 'set', name, 'up');
    const server = startProcess(
      { program: 'busybox', args: ['udhcpd', '-f', configuration] },
      { log: host.log, signal: host.signal },
    );
    return {
      name,
      address,
      async close() {
        await server.kill();
        await removeAll();
      },
    };
  } catch (error) {
    await removeAll();
    throw error;
  }
}

/** For busybox udhcpd. */
const dhcpConfiguration = (parts: { name: string; network: string; directory: string }): string =>
  `${[
    `interface ${parts.name}`,
    `start ${parts.network}.100`,
    `end ${parts.network}.199`,
    'max_leases 100',
    `lease_file ${join(parts.directory, 'leases')}`,
    `pidfile ${join(parts.directory, 'pid')}`,
    'opt subnet 255.255.255.0',
    `opt router ${parts.network}.1`,
    `opt dns ${parts.network}.1`,
  ].join('\n')}\n`;
