import { cp, mkdtemp, mkdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { givenImages } from './given.ts';
import { runScript } from './program.ts';

const { images, versions, skipped, note } = await givenImages(['faketime', 'taskset']);

describe.skipIf(skipped)(`npm run reproduce${note}`, () => {
  it('builds the whole published disk image again, bit for bit, in a workspace with other keys', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'treeline-reproduce-'));
    onTestFinished(() => rm(directory, { recursive: true, force: true }));
    // What was downloaded need not be so again.
    await mkdir(join(directory, '.treeline'));
    await cp(
      join(images.workspace, '.treeline/cache/packages'),
      join(directory, '.treeline/cache/packages'),
      {
        recursive: true,
      },
    );
    const { stdout, stderr, exitCode } = await runScript('reproduce', [
      ...['--workspace', directory, '--against', versions.second.vm.directory],
      ...['--overlay', images.overlay, '--ssh-key', images.key.publicKey],
    ]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(stdout).toContain('the same, bit for bit');
  });
});
