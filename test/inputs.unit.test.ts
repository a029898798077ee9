import { expect, test } from 'vitest';
import { inputsDigest, packageInputs, whyRun } from '../src/inputs.ts';
import { emptyLock } from './helpers/trees.ts';

test('the order of inputs is no part of them, names and values are', () => {
  expect(inputsDigest({ a: '1', b: '2' })).toBe(inputsDigest({ b: '2', a: '1' }));
  expect(inputsDigest({ a: '1', b: '2' })).not.toBe(inputsDigest({ a: '12', b: '' }));
  expect(inputsDigest({ a: '1' })).not.toBe(inputsDigest({ b: '1' }));
});

test.each([
  ['nothing is known of before', undefined, { a: '1' }, 'for the first time here'],
  ['a value differs', { a: '1', b: '2' }, { a: '1', b: '3' }, 'b changed'],
  ['a name is new', { a: '1' }, { a: '1', 'file /etc/motd': '' }, 'file /etc/motd is new'],
  ['a name is gone', { a: '1', 'package nano': '' }, { a: '1' }, 'package nano is gone'],
  ['the result is gone', { a: '1' }, { a: '1' }, 'what was kept of it does not serve any more'],
])('where %s, that is why', (_, before, now, reason) => {
  expect(whyRun(before, now)).toBe(reason);
});

test('a package and one of the same name that only installs are two', () => {
  const entry = {
    name: 'apk-tools',
    version: '1',
    architecture: 'x86_64',
    source: '',
    size: 1,
    checksum: 'Q1',
  };
  const lock = { ...emptyLock, packages: [entry], tools: [{ ...entry, version: '2' }] };
  expect(Object.keys(packageInputs(lock))).toEqual(['package apk-tools', 'installing package apk-tools']);
});

test('of many reasons six are told, and how many more there are', () => {
  const now = Object.fromEntries(Array.from({ length: 9 }, (__, index) => [`file /${index}`, '']));
  expect(whyRun({}, now)).toBe(
    `${[0, 1, 2, 3, 4, 5].map((index) => `file /${index} is new`).join(', ')} and 3 more`,
  );
});
