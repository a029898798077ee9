import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { parsePublicKey } from '../../../../src/packages/apk/formats/keys.ts';
import { alpineKeys, makeKey } from '../../../helpers/apks.ts';
import { refusalOf } from './refusals.ts';
import { alpineMissing } from '../../../helpers/alpine-repository.ts';

const pem = (key: { export(options: { type: 'spki'; format: 'pem' }): string | Buffer }): string =>
  key.export({ type: 'spki', format: 'pem' }).toString();

describe('a public key', () => {
  it('is an RSA key under the name of its file', () => {
    const { publicPem, name } = makeKey();
    const { key, ...rest } = parsePublicKey(name, publicPem);
    expect(rest).toEqual({ name });
    expect(key.asymmetricKeyDetails?.modulusLength).toBe(2048);
  });

  it.skipIf(alpineMissing)("is each of Alpine's", () => {
    expect(alpineKeys('x86_64')).toHaveLength(3);
    expect(alpineKeys('aarch64')).toHaveLength(2);
  });

  it.each([
    ['no PEM', 'hello', 'it is no public key in PEM'],
    ['damaged', '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n', 'it is damaged'],
    [
      'of another type',
      pem(generateKeyPairSync('ed25519').publicKey),
      'it is a key of type ed25519, not RSA',
    ],
    [
      'short',
      pem(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey),
      'it has 1024 bits, less than 2048',
    ],
    [
      'private',
      makeKey().signing.key.export({ type: 'pkcs8', format: 'pem' }).toString(),
      'it is no public key in PEM',
    ],
  ])('is refused where it is %s', (_, text, reason) => {
    const error = refusalOf(() => parsePublicKey('some.rsa.pub', text));
    expect(error.code).toBe('recipe');
    expect(error.message).toBe(`Cannot use the key "some.rsa.pub": ${reason}`);
  });

  it.each(['../x.rsa.pub', 'a/b.rsa.pub', '', '.hidden', 'two words.pub', 'x\n.pub', 'x'.repeat(100)])(
    'is refused under the name %j',
    (name) => {
      expect(refusalOf(() => parsePublicKey(name, makeKey().publicPem)).message).toContain('its file name');
    },
  );
});
