import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { holdsAlpine, mainOf } from './alpine-fetch.ts';

/*
 * Alpine's own packages, for tests: a directory with v3.19/main/x86_64 as on a mirror, and keys/<arch>/*.rsa.pub. It is
 * TREELINE_TEST_ALPINE, or ../shared/alpine beside the checkout; where neither is there, one of Alpine's mirrors is asked
 * before the tests begin (test/alpine-setup.ts).
 */

export const alpineDirectory: string =
  process.env['TREELINE_TEST_ALPINE'] ?? fileURLToPath(new URL('../../../shared/alpine', import.meta.url));

/** Why tests that need Alpine's packages are skipped; undefined where they run. In CI it is an error instead. */
export const alpineMissing: string | undefined = whyMissing();

function whyMissing(): string | undefined {
  if (holdsAlpine(alpineDirectory)) return undefined;
  const reason = `no Alpine packages in ${alpineDirectory}, and no mirror that answers (TREELINE_TEST_ALPINE)`;
  if (process.env['CI']) throw new Error(reason);
  return reason;
}

/** The directory of Alpine's packages for x86_64, absolute. */
export const alpineMain = mainOf(alpineDirectory);

/** The one package of this name: `zlib` → `zlib-1.3.1-r0.apk`. A mirror may have a newer version than a copy. */
export function alpinePackage(name: string): string {
  const [file, ...more] = readdirSync(alpineMain).filter(
    (each) => each.startsWith(`${name}-`) && /^\d/.test(each.slice(name.length + 1)),
  );
  if (file === undefined || more.length > 0) throw new Error(`${alpineMain} has not one package ${name}`);
  return file;
}
