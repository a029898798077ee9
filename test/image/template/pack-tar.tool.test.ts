import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { packTar } from '../../../src/image/template/archive.ts';
import { temporaryDirectory, temporaryHost } from '../../helpers/host.ts';

/** Packs a file that does not fit into a pipe; `meanwhile` happens to it while tar reads it. */
async function pack(meanwhile: string): Promise<void> {
  const directory = temporaryDirectory();
  const file = join(directory, 'file');
  writeFileSync(file, '');
  truncateSync(file, 32 << 20);
  const reader = `head --bytes=100000 >/dev/null; ${meanwhile}; cat >/dev/null`;
  await packTar(temporaryHost(), {
    epoch: 0,
    args: [`--directory=${directory}`, 'file'],
    rest: { pipeTo: [{ program: 'sh', args: ['-c', reader, 'sh', file] }], doing: 'pack a file' },
  });
}

test('another link to a file, made while it is packed, is no change of it', async () => {
  await expect(pack('ln "$1" "$1.link"')).resolves.toBeUndefined();
});

test('a file that gets shorter while it is packed is an error', async () => {
  await expect(pack(': >"$1"')).rejects.toThrow(/^Cannot pack a file: tar says .*shrank by \d+ bytes/);
});
