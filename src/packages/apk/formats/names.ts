import { Refusal } from './refusal.ts';

/**
 * What packages are identified by. All three become parts of file names and of lines in apk's database, so they have no
 * `/`, no `..`, no blank and no control character, and begin with a letter, a digit or `_`.
 */
const patterns = {
  name: /^(?!.*\.\.)[A-Za-z0-9_][\w.+-]{0,127}$/,
  version: /^(?!.*\.\.)[A-Za-z0-9_][\w.+~-]{0,127}$/,
  architecture: /^[A-Za-z0-9_][A-Za-z0-9_-]{0,31}$/,
};

/** `value`, which must be a name, version or architecture of a package; throws a Refusal otherwise. */
export function expectName(kind: keyof typeof patterns, value: string): string {
  if (!patterns[kind].test(value))
    throw new Refusal(`no package can have the ${kind} ${JSON.stringify(value)}`);
  return value;
}

/** `value`, which must be a whole number of bytes or seconds, as one; `label` is what to call it. */
export function expectInteger(label: string, value: string): number {
  const number = Number(value);
  if (!/^\d{1,16}$/.test(value) || !Number.isSafeInteger(number)) {
    throw new Refusal(`the ${label} ${JSON.stringify(value)} of a package is no whole number`);
  }
  return number;
}
