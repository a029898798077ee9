import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa, execaSync } from 'execa';

export interface Bridge {
  /** For lxc.net.N.link. */
  name: string;
  /** Of this machine on the bridge. */
  address: string;
  remove(): Promise<void>;
}

/** A network of its own between this machine and containers, with a DHCP server. Gone with this process at the latest. */
export async function createBridge(): Promise<Bridge> {
  const directory = await mkdtemp(join(tmpdir(), 'treeline-dhcp-'));
  const name = `tl${process.pid}`;
  const network = `10.213.${process.pid % 256}`;
  const address = `${network}.1`;
  const configuration = join(directory, 'udhcpd.conf');
  await writeFile(
    configuration,
    `interface ${name}
start ${network}.100
end ${network}.199
max_leases 100
lease_file ${join(directory, 'leases')}
pidfile ${join(directory, 'pid')}
opt subnet 255.255.255.0
opt router ${address}
opt dns ${address}
`,
  );
  await writeFile(join(directory, 'leases'), '');
  const removeLink = (): void => void execaSync('ip', ['link', 'delete', name], { reject: false });
  process.on('exit', removeLink);
  await execa('ip', ['link', 'add', name, 'type', 'bridge']);
  await execa('ip', ['address', 'add', `${address}/24`, 'dev', name]);
  await execa('ip', ['link', 'set', name, 'up']);
  const server = execa('setpriv', ['--pdeathsig', 'KILL', 'busybox', 'udhcpd', '-f', configuration], {
    stdin: 'ignore',
    reject: false,
  });
  return {
    name,
    address,
    async remove() {
      server.kill('SIGTERM');
      await server;
      process.off('exit', removeLink);
      removeLink();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
