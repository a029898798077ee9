import type { KeyObject } from 'node:crypto';
import { createPublicKey } from 'node:crypto';
import { TreelineError } from '../../../host/errors.ts';

/** A key that may sign packages and indexes. */
export interface PublicKey {
  /** Its file name, which signatures name, e.g. `alpine-devel@lists.alpinelinux.org-4a6a0840.rsa.pub`. */
  name: string;
  key: KeyObject;
}

/** A key to sign indexes with. */
export interface SigningKey {
  /** The file name of its public half. */
  name: string;
  /** Private. */
  key: KeyObject;
}

/** Shorter moduli can be factored. */
const leastBits = 2048;

/**
 * The RSA public key in `pem`, the text of a file called `name`; `place` is what errors call it. Throws 'recipe' for what is none, has less than 2048
 * bits, or has a name that cannot stand in a signature.
 */
export function parsePublicKey(name: string, pem: string, place = name): PublicKey {
  // 100 bytes hold a name in a tar header, `.SIGN.RSA256.` before it.
  if (!/^[\w@+-][\w@.+-]{0,86}$/.test(name)) {
    throw refusal(place, 'its file name is too long or has characters that no key name has');
  }
  const key = readKey(place, pem);
  if (key.asymmetricKeyType !== 'rsa') {
    throw refusal(place, `it is a key of type ${key.asymmetricKeyType}, not RSA`);
  }
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  if (bits < leastBits) throw refusal(place, `it has ${bits} bits, less than ${leastBits}`);
  return { name, key };
}

function readKey(place: string, pem: string): KeyObject {
  // createPublicKey would also take a private key or a certificate.
  if (!/^\s*-----BEGIN (RSA )?PUBLIC KEY-----/.test(pem)) throw refusal(place, 'it is no public key in PEM');
  try {
    return createPublicKey(pem);
  } catch (error) {
    throw refusal(place, 'it is damaged', error);
  }
}

const refusal = (place: string, reason: string, cause?: unknown): TreelineError =>
  new TreelineError('recipe', `Cannot use the key ${JSON.stringify(place)}: ${reason}`, {
    hint: "Keys are the repository's RSA public keys as PEM files (*.rsa.pub), as the package alpine-keys has them.",
    cause,
  });
