import { expect, it } from 'vitest';
import { presentReleases } from '../../src/cli/present.ts';
import { createReporter } from '../../src/host/reporter/reporter.ts';
import type { Manifest } from '../../src/model.ts';

it('a result names each of its files once, also below the current directory', () => {
  const directory = `${process.cwd()}/out/x`;
  const manifest = {
    ref: 'treeline/debian-12/x86_64/vm',
    version: '20260101.0',
    commit: 'c'.repeat(64),
    artifacts: [{ file: 'disk.img', kind: 'disk-image', bytes: 1024, sha256: '' }],
  } as unknown as Manifest;
  let printed = '';
  const stream = { write: (text: string) => (printed += text) };
  const reporter = createReporter({ mode: 'plain', stream });
  reporter.listener(presentReleases([{ directory, manifest }]));
  reporter.close();
  expect(printed.split('out/x/disk.img')).toHaveLength(2);
  expect(printed.split('out/x/manifest.json')).toHaveLength(2);
});
