import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readIndex } from '../../../../src/packages/apk/formats/index-file.ts';
import {
  checkPackage,
  indexEntryOf,
  verifyPackage,
} from '../../../../src/packages/apk/formats/package-file.ts';
import { alpineDirectory, alpineKeys, alpineMissing, makeKey } from '../../../helpers/apks.ts';
import { refusalOf } from './refusals.ts';

const directory = join(alpineDirectory, 'v3.19/main/x86_64');
const setuid = ['bin/bbsuid', 'usr/bin/doas'];
const read = (name: string): Buffer => readFileSync(join(directory, name));
const indexName = 'APKINDEX.tar.gz';

describe.skipIf(alpineMissing)(
  `Alpine's own repository${alpineMissing ? ` (skipped: ${alpineMissing})` : ''}`,
  () => {
    it('has an index that verifies, and each of its 100 packages verifies against it', () => {
      const keys = alpineKeys();
      const entries = readIndex(read(indexName), { label: indexName, keys });
      expect(entries).toHaveLength(100);
      expect(entries.map(({ name, version }) => `${name}-${version}.apk`).toSorted()).toEqual(
        readdirSync(directory)
          .filter((name) => name.endsWith('.apk'))
          .toSorted(),
      );
      for (const expected of entries) {
        const label = `${expected.name}-${expected.version}`;
        const bytes = read(`${label}.apk`);
        const apk = verifyPackage(bytes, { label, keys, expected, setuid });
        expect(indexEntryOf(apk, 'x86_64')).toBe(expected.text);
        expect(checkPackage(bytes, { label, keys, expected })).toEqual(apk);
        expect(apk.buildDate).toBe(expected.buildDate);
      }
    });

    it.each([
      ['busybox-suid-1.36.1-r15', '"bin/bbsuid" brings the setuid or setgid bit'],
      ['doas-6.8.2-r6', '"usr/bin/doas" brings the setuid or setgid bit'],
    ])('has no other setuid file than that of %s', (label, reason) => {
      const options = { label, keys: alpineKeys(), setuid: [] };
      expect(refusalOf(() => verifyPackage(read(`${label}.apk`), options)).message).toContain(reason);
    });

    it('is refused under keys that did not sign it', () => {
      const keys = [makeKey().public, ...alpineKeys('aarch64')];
      expect(refusalOf(() => readIndex(read(indexName), { label: indexName, keys })).message).toContain(
        'it is signed by alpine-devel@lists.alpinelinux.org-6165ee59.rsa.pub, which is not among the 3 pinned keys',
      );
    });

    it('has no package that passes with a changed byte or cut off', () => {
      const label = 'zlib-1.3.1-r0';
      const good = read(`${label}.apk`);
      const options = { label, keys: alpineKeys(), setuid };
      const signed = good.indexOf(Buffer.from([0x1f, 0x8b, 8, 0]), 1);
      for (let at = signed; at < good.length; at += 97) {
        const damaged = Buffer.from(good);
        damaged[at]! ^= 1 << (at % 8);
        expect(refusalOf(() => verifyPackage(damaged, options)).code).toBe('package');
        expect(refusalOf(() => verifyPackage(good.subarray(0, at), options)).code).toBe('package');
      }
    });
  },
);
