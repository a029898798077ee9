import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { serveDirectory } from '../faults/static-server.ts';
import { alpineRelease, fetchAlpine, holdsAlpine, mainOf } from './alpine-fetch.ts';
import { alpineDirectory, alpineMain, alpineMissing, alpinePackage } from './alpine-repository.ts';
import { temporaryDirectory } from './host.ts';

/** What a mirror serves. */
async function serve(directory: string): Promise<string> {
  const server = await serveDirectory(directory);
  onTestFinished(() => server.stop());
  return `http://127.0.0.1:${server.port}`;
}

describe.skipIf(alpineMissing !== undefined)(
  `Alpine’s packages for the tests, from a mirror${alpineMissing === undefined ? '' : ` (skipped: ${alpineMissing})`}`,
  () => {
    it('are the same as in a copy, with the keys that the base’s layer pins', async () => {
      const directory = join(temporaryDirectory(), 'cache/alpine');
      await fetchAlpine(await serve(alpineDirectory), directory);
      expect(holdsAlpine(directory)).toBe(true);
      expect(readdirSync(mainOf(directory)).toSorted()).toEqual(readdirSync(alpineMain).toSorted());
      for (const name of readdirSync(alpineMain))
        expect(readFileSync(join(mainOf(directory), name)).equals(readFileSync(join(alpineMain, name)))).toBe(
          true,
        );
      expect(readdirSync(join(directory, 'keys/x86_64'))).toEqual(
        readdirSync(join(alpineDirectory, 'keys/x86_64')),
      );
      expect(readdirSync(join(directory, '..'))).toEqual(['alpine']);
    });

    it('are not taken where one is damaged, and nothing is left', async () => {
      const mirror = temporaryDirectory();
      cpSync(join(alpineDirectory, alpineRelease), join(mirror, alpineRelease), { recursive: true });
      const damaged = join(mainOf(mirror), alpinePackage('zlib'));
      const bytes = readFileSync(damaged);
      bytes[bytes.length >> 1]! ^= 1;
      writeFileSync(damaged, bytes);
      const cache = join(temporaryDirectory(), 'cache');
      await expect(fetchAlpine(await serve(mirror), join(cache, 'alpine'))).rejects.toThrow(/zlib/);
      expect(readdirSync(cache)).toEqual([]);
    });
  },
);

it('a mirror that does not answer, or has no such release, is told by its address', async () => {
  const directory = temporaryDirectory();
  const silent = createServer().listen(0, '127.0.0.1');
  await once(silent, 'listening');
  onTestFinished(() => void silent.close());
  const { port } = silent.address() as AddressInfo;
  const place = join(directory, 'alpine');
  await expect(fetchAlpine(`http://127.0.0.1:${port}`, place, { patience: 300 })).rejects.toThrow(/timeout/i);
  mkdirSync(join(directory, 'empty'));
  const empty = await serve(join(directory, 'empty'));
  await expect(fetchAlpine(empty, place)).rejects.toThrow(
    `${empty}/v3.19/main/x86_64/APKINDEX.tar.gz: 404 Not Found`,
  );
  expect(existsSync(place)).toBe(false);
});
