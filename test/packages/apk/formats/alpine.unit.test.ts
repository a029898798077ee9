import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readIndex } from '../../../../src/packages/apk/formats/index-file.ts';
import {
  checkPackage,
  indexEntryOf,
  verifyPackage,
} from '../../../../src/packages/apk/formats/package-file.ts';
import { alpineKeys, makeKey } from '../../../helpers/apks.ts';
import { refusalOf } from './refusals.ts';
import { alpineMain, alpineMissing, alpinePackage } from '../../../helpers/alpine-repository.ts';

const setuid = ['bin/bbsuid', 'usr/bin/doas'];
const read = (name: string): Buffer => readFileSync(join(alpineMain, name));
const indexName = 'APKINDEX.tar.gz';

describe.skipIf(alpineMissing)(
  `Alpine's own repository${alpineMissing ? ` (skipped: ${alpineMissing})` : ''}`,
  () => {
    it('has an index that verifies, and each of its 100 packages verifies against it', () => {
      const keys = alpineKeys();
      const entries = readIndex(read(indexName), { label: indexName, keys });
      const files = readdirSync(alpineMain).filter((name) => name.endsWith('.apk'));
      expect(files).toHaveLength(100);
      // A mirror's index has more than the install medium's.
      const byFile = new Map(entries.map((entry) => [`${entry.name}-${entry.version}.apk`, entry]));
      for (const file of files) {
        const expected = byFile.get(file)!;
        const label = file.replace(/\.apk$/, '');
        const bytes = read(`${label}.apk`);
        const apk = verifyPackage(bytes, { label, keys, expected, setuid });
        expect(indexEntryOf(apk, 'x86_64')).toBe(expected.text);
        expect(checkPackage(bytes, { label, keys, expected })).toEqual(apk);
        expect(apk.buildDate).toBe(expected.buildDate);
      }
    });

    it.each([
      ['busybox-suid', '"bin/bbsuid" brings the setuid or setgid bit'],
      ['doas', '"usr/bin/doas" brings the setuid or setgid bit'],
    ])('has no other setuid file than that of %s', (name, reason) => {
      const label = alpinePackage(name).replace('.apk', '');
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
      const label = alpinePackage('zlib').replace('.apk', '');
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
