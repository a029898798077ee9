import { basename, join } from 'node:path';
import {
  listNames,
  makeDirectory,
  move,
  pathExists,
  readTextIfExists,
  remove,
  sha256,
  writeFile,
  writeFileAtomically,
} from '../host/files.ts';
import type { Host } from '../host/host.ts';
import type { Delta } from '../model.ts';
import type { SigningKeys } from '../ostree/signing.ts';
import { checkSignatures, signFile } from '../ostree/signing.ts';
import type { UpdateIndex } from './update-index.ts';
import { filesOf, formatIndex, indexFile, updatesDirectory } from './update-index.ts';

/**
 * The name of an index's signature, made of the index itself: a reader that has the one finds the other, whatever is
 * published, copied or cached in between.
 */
export const signatureName = (indexText: string): string => `index-${sha256(indexText).slice(0, 16)}.sig`;

/**
 * Moves the delta files into place, then the signature, good for so many days, then the index: readers never see an index
 * without what it needs. Of what is not needed any more, the signature of the index before stays: somebody may have just read that.
 */
export async function publishIndex(
  host: Host,
  options: { index: UpdateIndex; deltas: readonly Delta[]; keys: SigningKeys; validDays: number },
): Promise<void> {
  const { index, deltas, keys, validDays } = options;
  const directory = updatesDirectory(host.workspace);
  await makeDirectory(directory);
  const before = await readTextIfExists(indexFile(host.workspace));
  const text = formatIndex(index);
  const signature = await signText(host, text, { keys, validDays });
  for (const { path, pair } of deltas)
    for (const from of [path, ...(pair === undefined ? [] : [pair.kernel.path, pair.rest.path])])
      await move(from, join(directory, basename(from)));
  await writeFileAtomically(join(directory, signatureName(text)), signature);
  await writeFileAtomically(indexFile(host.workspace), text);
  const needed = new Set(index.deltas.flatMap(filesOf).map(({ file }) => file));
  for (const known of [text, before]) if (known !== undefined) needed.add(signatureName(known));
  for (const name of await listNames(directory)) {
    if (/\.delta$|^index.*\.sig$/.test(name) && !needed.has(name)) await remove(join(directory, name));
  }
}

/**
 * Signs the published index anew where more than half of its signature's time is over, where that time is not the wanted
 * one, or where a key's signature is missing; the index itself stays. Returns until when it is good then, in seconds since
 * 1970; undefined where nothing was written. `now`: in seconds since 1970.
 */
export async function renewSignature(
  host: Host,
  { keys, validDays, now }: { keys: SigningKeys; validDays: number; now: number },
): Promise<number | undefined> {
  const path = indexFile(host.workspace);
  const text = await readTextIfExists(path);
  if (text === undefined) return undefined;
  const signature = join(updatesDirectory(host.workspace), signatureName(text));
  if (await isFresh(host, { path, signature, keys, validDays, now })) return undefined;
  await writeFileAtomically(signature, await signText(host, text, { keys, validDays }));
  const [made] = await checkSignatures(host, keys, { path, signature });
  return made?.expires;
}

async function isFresh(
  host: Host,
  options: { path: string; signature: string; keys: SigningKeys; validDays: number; now: number },
): Promise<boolean> {
  const { path, signature, keys, validDays, now } = options;
  if (!(await pathExists(signature))) return false;
  const good = await checkSignatures(host, keys, { path, signature });
  const seconds = validDays * 86_400;
  const fresh = good.filter(({ made, expires }) => expires - made === seconds && now - made <= seconds / 2);
  return (
    good.length === keys.fingerprints.length &&
    keys.fingerprints.every((wanted) => fresh.some(({ fingerprint }) => fingerprint === wanted))
  );
}

async function signText(
  host: Host,
  text: string,
  { keys, validDays }: { keys: SigningKeys; validDays: number },
): Promise<Uint8Array> {
  const unsigned = join(host.workspace.temporary, 'index.json');
  await writeFile(unsigned, text);
  return signFile(host, keys, unsigned, validDays);
}
