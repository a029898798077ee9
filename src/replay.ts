import { join } from 'node:path';
import { z } from 'zod';
import { TreelineError } from './host/errors.ts';
import { pathExists, readTextIfExists, realPath } from './host/files.ts';
import type { Manifest } from './model.ts';

/** A published release that is to be built again, by somebody who has neither its keys nor those before it. */
export interface Replay {
  /** The release's directory, absolute. */
  directory: string;
  manifest: Pick<Manifest, 'ref' | 'commit' | 'parent' | 'version' | 'timestamp'> & {
    artifacts: readonly { file: string }[];
  };
  /** The lock, the public keys that its tree trusts, its commit's signatures as OSTree keeps them. Absolute. */
  lock: string;
  publicKeyring: string;
  signatures: string;
}

const id = z.string().regex(/^[0-9a-f]{64}$/);

const replayedManifest = z.object({
  ref: z.string().regex(/^treeline\/[\w.-]+\/\w+\/\w+$/),
  commit: id,
  parent: id.nullable(),
  version: z.string().regex(/^\d{8}\.\d+$/),
  timestamp: z.number().int().min(0),
  artifacts: z.array(z.object({ file: z.string() })),
});

/** Beside a release's manifest: what else is needed to build it again. */
export const publicKeyringName = 'trusted.gpg';
export const signaturesName = 'commit.commitmeta';

/** Which artifacts were asked for besides those that are always made. */
export const artifactOptions = ({ manifest }: Replay): { flat: boolean; qcow2: boolean } => ({
  flat: manifest.artifacts.some(({ file }) => file.endsWith('-flat.tar.zst')),
  qcow2: manifest.artifacts.some(({ file }) => file.endsWith('.qcow2')),
});

/** Throws 'usage' where the directory is not a whole release. */
export async function readReplay(named: string): Promise<Replay> {
  const directory = await realPath(named).catch(() => named);
  const refuse = (reason: string): never => {
    throw new TreelineError('usage', `Cannot build ${named} again: ${reason}`, {
      hint: 'Name a release’s directory with all its files, as in out/debian-12/x86_64/vm/20260109.0',
    });
  };
  const text = await readTextIfExists(join(directory, 'manifest.json'));
  if (text === undefined) return refuse('it holds no manifest.json');
  const [lock, publicKeyring, signatures] = ['lock.json', publicKeyringName, signaturesName].map((name) =>
    join(directory, name),
  ) as [string, string, string];
  for (const path of [lock, publicKeyring, signatures])
    if (!(await pathExists(path))) return refuse(`there is no ${path}`);
  return { directory, manifest: parseManifest(text, refuse), lock, publicKeyring, signatures };
}

function parseManifest(text: string, refuse: (reason: string) => never): Replay['manifest'] {
  try {
    return replayedManifest.parse(JSON.parse(text));
  } catch {
    return refuse('its manifest.json is damaged');
  }
}
