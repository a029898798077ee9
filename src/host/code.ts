import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sha256 } from './files.ts';

/** Names this version of our own code, for the keys of what is kept: SHA-256 of the bundle; `source` when run unbundled. */
export function codeDigest(): string {
  const own = fileURLToPath(import.meta.url);
  return basename(own) === 'treeline.mjs' ? sha256(readFileSync(own)) : 'source';
}
