import { TreelineError } from '../host/errors.ts';
import { pathExists } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import { listRefs } from '../ostree/repository.ts';
import type { SigningKeys } from '../ostree/signing.ts';
import { closeSigningKeys, openSigningKeys } from '../ostree/signing.ts';
import { readTrustedKeys } from '../ostree/trusted-keys.ts';
import type { WorkspaceKey } from '../ostree/workspace-keys.ts';
import { addWorkspaceKey, listWorkspaceKeys, writeSigners } from '../ostree/workspace-keys.ts';
import { readIndex } from './update-index.ts';

/*
 * Exchanging the workspace's key: after `rotate`, both keys sign, and the next tree carries both public halves; machines
 * that have taken that release accept the new key, and `retire` may stop the old one. Either step is one small file.
 */

/** The workspace's keys, oldest first; none before the first build. */
export async function listKeys(host: Host): Promise<WorkspaceKey[]> {
  if (!(await pathExists(host.workspace.keys))) return [];
  return withWorkspaceKeys(host, (keys) => listWorkspaceKeys(host, keys));
}

/** Makes a key that signs beside the present one. Throws 'update' where two sign already. */
export function rotateKeys(host: Host): Promise<WorkspaceKey[]> {
  return withWorkspaceKeys(host, async (keys) => {
    if (keys.fingerprints.length > 1) {
      throw new TreelineError(
        'update',
        `Cannot make a new key: ${keys.fingerprints.length} keys sign already`,
        {
          hint: 'Publish a release signed by both (npm run build-update), then end this exchange: npm run keys -- retire',
        },
      );
    }
    await addWorkspaceKey(host, keys, keys.fingerprints);
    return listWorkspaceKeys(host, keys);
  });
}

/**
 * From now on the newest key signs alone. Throws 'update' where it is the only one, and, unless forced, where a published
 * image does not carry it: no machine with that image could be updated any more.
 */
export function retireKeys(host: Host, { force }: { force: boolean }): Promise<WorkspaceKey[]> {
  return withWorkspaceKeys(host, async (keys) => {
    const newest = keys.fingerprints.at(-1)!;
    if (keys.fingerprints.length < 2) {
      throw new TreelineError('update', `Cannot retire ${newest}: it is the only key that signs`, {
        hint: 'Make a new one first: npm run keys -- rotate',
      });
    }
    const behind = force ? [] : await refsWithout(host, keys, newest);
    if (behind.length > 0) {
      throw new TreelineError(
        'update',
        `Cannot retire the old key: no release that carries the new one was published for ${behind.join(', ')}`,
        {
          hint: 'Publish one, and let every machine take it: npm run build-update. --force retires it all the same.',
        },
      );
    }
    await writeSigners(host.workspace.keys, [newest]);
    return listWorkspaceKeys(host, keys);
  });
}

/** Refs of the repository whose newest offered release does not trust `key`. */
async function refsWithout(host: Host, keys: SigningKeys, key: string): Promise<string[]> {
  const index = await readIndex(host.workspace);
  const behind: string[] = [];
  // Where nothing was built, no machine is left behind.
  if (!(await pathExists(host.workspace.repository))) return behind;
  for (const ref of await listRefs(host, 'treeline')) {
    const offered = index.refs[ref]?.commit;
    const trusted = offered === undefined ? [] : await readTrustedKeys(host, keys, offered);
    if (!trusted.includes(key)) behind.push(ref);
  }
  return behind;
}

async function withWorkspaceKeys<T>(host: Host, work: (keys: SigningKeys) => Promise<T>): Promise<T> {
  const keys = await openSigningKeys(host);
  try {
    return await work(keys);
  } finally {
    await closeSigningKeys(host, keys);
  }
}
