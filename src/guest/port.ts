import { createServer } from 'node:net';
import { TreelineError } from '../host/errors.ts';

const firstPort = 2222;
const portsToTry = 100;

/**
 * The port of 127.0.0.1 for ssh into a guest: `wanted`, or else the first free one from 2222.
 * Throws TreelineError 'usage' where the wanted one is taken or is no port.
 */
export async function chooseSshPort(wanted: number | undefined): Promise<number> {
  if (wanted !== undefined) {
    if (!Number.isInteger(wanted) || wanted < 1 || wanted > 65_535) {
      throw new TreelineError('usage', `Cannot forward port ${wanted}: a port is a number from 1 to 65535`, {
        hint: 'Leave --port out, and a free one is chosen.',
      });
    }
    if (await isFree(wanted)) return wanted;
    throw new TreelineError(
      'usage',
      `Cannot forward port ${wanted}: it is in use, or this user may not open it`,
      {
        hint: 'Leave --port out, and a free one is chosen, or name another one.',
      },
    );
  }
  for (let port = firstPort; port < firstPort + portsToTry; port += 1) {
    if (await isFree(port)) return port;
  }
  throw new TreelineError(
    'host',
    `Cannot forward ssh: ports ${firstPort} to ${firstPort + portsToTry - 1} are all in use`,
    {
      hint: 'Name a free one with --port N.',
    },
  );
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ host: '127.0.0.1', port }, () => server.close(() => resolve(true)));
  });
}
