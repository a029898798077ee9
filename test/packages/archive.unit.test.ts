import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readDataArchive } from '../../src/packages/deb/archive.ts';
import { errorOf, temporaryDirectory } from '../helpers/host.ts';

const member = (name: string, content: string, size = String(content.length)): string =>
  `${name.padEnd(16)}${'0'.padEnd(12)}${'0'.padEnd(6)}${'0'.padEnd(6)}${'100644'.padEnd(8)}${size.padEnd(10)}\`\n${content}${content.length % 2 === 1 ? '\n' : ''}`;

function deb(...members: string[]): string {
  const path = join(temporaryDirectory(), 'x.deb');
  writeFileSync(path, `!<arch>\n${members.join('')}`, 'latin1');
  return path;
}

const text = async (path: string): Promise<string> =>
  Buffer.from(await readDataArchive(path)).toString('latin1');

describe('the data archive of a .deb', () => {
  it.each(['data.tar', 'data.tar.xz', 'data.tar.zst/'])(
    'is found as %s behind members of odd length',
    async (name) => {
      const path = deb(
        member('debian-binary', '2.0'),
        member('control.tar.xz', 'control'),
        member(name, 'the files'),
      );
      expect(await text(path)).toBe('the files');
    },
  );

  it.each([
    ['has none', [member('debian-binary', '2.0\n'), member('control.tar.xz', 'control')]],
    ['ends before its member does', [member('data.tar', 'short', '500')]],
    ['states no size', [member('data.tar', 'x', 'many')]],
    ['states a negative size', [member('data.tar', 'x', '-1')]],
  ])('is refused where the package %s', async (_, members) => {
    const path = deb(...members);
    const error = await errorOf(readDataArchive(path));
    expect(error.code).toBe('package');
    expect(error.message).toContain(path);
  });

  it('is refused where the file is no ar archive', async () => {
    const path = join(temporaryDirectory(), 'x.deb');
    writeFileSync(path, 'PK something else');
    expect((await errorOf(readDataArchive(path))).message).toContain('it is no Debian package');
  });
});
