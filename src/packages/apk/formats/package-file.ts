import { createHash } from 'node:crypto';
import type { ApkPackage } from './apk-package.ts';
import { verifyData } from './data-archive.ts';
import { readMember } from './gzip-member.ts';
import type { PublicKey } from './keys.ts';
import type { Control } from './package-info.ts';
import { readControl } from './package-info.ts';
import { Refusal, within } from './refusal.ts';
import { readSignatures, verifySignature } from './signature.ts';

export type { ApkPackage } from './apk-package.ts';
export { indexEntryOf } from './apk-package.ts';

/** What an index or a lock says about a package. */
export interface ExpectedPackage {
  name: string;
  version: string;
  /** The repository's; a `noarch` package fits any. */
  architecture: string;
  size: number;
  checksum: string;
}

export interface Verification {
  /** What to call the package in errors, e.g. `busybox-1.36.1-r15`. */
  label: string;
  keys: readonly PublicKey[];
  expected?: ExpectedPackage;
}

/**
 * Verifies an .apk file of apk-tools 2 whole: gzip members for signature, control and data (one or several, up to the end of the
 * file); the signature of one of `keys` over the control member; what is `expected`; `datahash` over the data; and
 * every entry of the data (data-archive.ts). `setuid`: the paths relative to the root (no leading slash) that may have the setuid or
 * setgid bit. Throws 'package' with the label and the reason.
 */
export function verifyPackage(
  bytes: Buffer,
  { setuid, ...verification }: Verification & { setuid: readonly string[] },
): ApkPackage {
  return within(verification.label, () => {
    const { apk, control, dataStart } = verifySigned(bytes, verification);
    verifyData(bytes, dataStart, { installedSize: control.installedSize, setuid });
    return apk;
  });
}

/** As verifyPackage, but without unpacking the data: for a file that verifyPackage has taken before. */
export function checkPackage(bytes: Buffer, verification: Verification): ApkPackage {
  return within(verification.label, () => verifySigned(bytes, verification).apk);
}

/** Scripts and .PKGINFO together. */
const controlLimit = 16 * 2 ** 20;

interface Signed {
  apk: ApkPackage;
  control: Control;
  dataStart: number;
}

function verifySigned(bytes: Buffer, { keys, expected }: Verification): Signed {
  if (expected !== undefined && expected.size !== bytes.length) {
    throw mismatch('size', String(bytes.length), String(expected.size));
  }
  const signatures = readSignatures(bytes);
  const { content, end } = readMember(bytes, signatures.end, controlLimit);
  const signed = bytes.subarray(signatures.end, end);
  verifySignature(signatures.found, signed, keys);
  const control = readControl(content);
  const { name, version, architecture, buildDate, info, scripts } = control;
  const checksum = `Q1${createHash('sha1').update(signed).digest('base64')}`;
  const apk = { name, version, architecture, buildDate, checksum, size: bytes.length, info, scripts };
  if (expected !== undefined) expectPackage(apk, expected);
  if (end === bytes.length) throw new Refusal('it has no data');
  const dataHash = createHash('sha256').update(bytes.subarray(end)).digest('hex');
  if (dataHash !== control.dataHash) {
    throw new Refusal(`its data has the SHA-256 ${dataHash}, but its datahash is ${control.dataHash}`);
  }
  return { apk, control, dataStart: end };
}

function expectPackage(apk: ApkPackage, expected: ExpectedPackage): void {
  for (const key of ['checksum', 'name', 'version'] as const) {
    if (apk[key] !== expected[key]) throw mismatch(key, apk[key], expected[key]);
  }
  if (apk.architecture !== 'noarch' && apk.architecture !== expected.architecture) {
    throw mismatch('architecture', apk.architecture, expected.architecture);
  }
}

const mismatch = (what: string, found: string, expected: string): Refusal =>
  new Refusal(`its ${what} is ${found}, not ${expected}`, {
    hint: 'The index or the lock names another package: fetch both again, or use another mirror.',
  });
