import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { join } from 'node:path';
import { listNames, readText, writeFileAtomically } from '../../host/files.ts';
import { makeOnce } from '../../host/make-once.ts';
import type { Workspace } from '../../host/workspace.ts';
import type { PublicKey, SigningKey } from './formats/keys.ts';

export interface WorkspaceKey {
  signing: SigningKey;
  public: PublicKey;
  /** The public key as PEM, as it stands in `<name>`. */
  pem: string;
}

const directoryOf = (workspace: Workspace): string => join(workspace.keys, 'apk');

/**
 * The RSA key with which this workspace signs repositories of its own, as abuild-sign does; made at first use in
 * `.treeline/keys/apk`, mode 0600.
 */
export async function openWorkspaceKey(workspace: Workspace): Promise<WorkspaceKey> {
  const find = (): Promise<string | undefined> => findPrivateKey(directoryOf(workspace));
  await makeOnce(directoryOf(workspace), makeKey, async () => (await find()) !== undefined);
  return readKey((await find())!);
}

async function findPrivateKey(directory: string): Promise<string | undefined> {
  const names = await listNames(directory);
  const name = names.find((candidate) => /^treeline-[0-9a-f]{8}\.rsa$/.test(candidate));
  return name === undefined ? undefined : join(directory, name);
}

async function makeKey(directory: string): Promise<void> {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 3072 });
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const name = `treeline-${createHash('sha256').update(pem).digest('hex').slice(0, 8)}.rsa`;
  const path = join(directory, name);
  await writeFileAtomically(`${path}.pub`, pem);
  await writeFileAtomically(path, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), 0o600);
}

async function readKey(path: string): Promise<WorkspaceKey> {
  const key = createPrivateKey(await readText(path));
  const publicKey = createPublicKey(key);
  const name = `${path.split('/').at(-1)}.pub`;
  return {
    signing: { name, key },
    public: { name, key: publicKey },
    pem: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  };
}
