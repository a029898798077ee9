import { expect, it } from 'vitest';
import { cacheName } from '../../src/packages/cache-name.ts';

it.each([
  [`sha256:${'0af'.repeat(21)}b`, `${'0af'.repeat(21)}b`],
  // 20 bytes of SHA-1, of which base64 makes slashes and plus signs.
  ['Q1//79/Pv6+fj39vX08/Lx8O/u7ew=', 'fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0efeeedec'],
])('a package lies in the cache by its checksum, in hexadecimal: %s', (checksum, name) => {
  expect(cacheName(checksum)).toBe(name);
});
