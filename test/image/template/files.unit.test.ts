import { parse } from 'yaml';
import { expect, test } from 'vitest';
import { compressor, tarCommand } from '../../../src/image/template/archive.ts';
import { imageFacts } from '../../../src/image/template/facts.ts';
import { metadataFiles } from '../../../src/image/template/lxc.ts';
import { openvzTemplateName } from '../../../src/image/template/openvz.ts';
import { testRecipe } from './small-sysroot.ts';

const facts = (target: 'lxc' | 'ovz') =>
  imageFacts(testRecipe(target), { version: '20251104.0', epoch: 1_762_214_400 });

test('an OpenVZ template is named distribution first, so that vzctl finds its scripts for it', () => {
  expect(openvzTemplateName(facts('ovz'))).toBe('debian-12-x86_64-treeline-20251104.0');
});

test('the metadata has the configuration that lxc-create looks for, with its own place for includes', () => {
  const { config } = metadataFiles(facts('lxc'));
  expect(config).toMatch(/^lxc\.include = LXC_TEMPLATE_CONFIG\/common\.conf$/m);
  expect(config).toMatch(/^lxc\.arch = x86_64$/m);
  expect(config).not.toMatch(/lxc\.(rootfs\.path|net|uts)/);
});

test('unprivileged containers get the configuration for user namespaces as well', () => {
  expect(metadataFiles(facts('lxc'))['config-user']).toMatch(
    /^lxc\.include = LXC_TEMPLATE_CONFIG\/userns\.conf$/m,
  );
});

test('no manager\'s files are named "templates": lxc reads a list there, Incus a directory', () => {
  expect(Object.keys(metadataFiles(facts('lxc')))).not.toContain('templates');
});

test('Incus learns architecture and date of creation from metadata.yaml', () => {
  expect(parse(metadataFiles(facts('lxc'))['metadata.yaml']!)).toMatchObject({
    architecture: 'x86_64',
    creation_date: 1_762_214_400,
    properties: { os: 'Treeline', release: '12', serial: '20251104.0' },
  });
});

test('every time in a tarball is the epoch, and no pax header tells of the process that wrote it', () => {
  const { args } = tarCommand({ epoch: 7, args: ['.'] });
  expect(args).toContain('--mtime=@7');
  expect(args.find((argument) => argument.startsWith('--pax-option='))).toMatch(
    /exthdr\.name=(?!.*%p).*delete=atime/,
  );
});

test('gzip leaves name and time out of its header', () => {
  expect(compressor('/out/a.tar.gz').args).toContain('--no-name');
});

test('xz always has more than one thread, because one alone gives other bits', () => {
  expect(compressor('/out/a.tar.xz').args).toContain('--threads=2');
});

test('a name that tells no compression is refused', () => {
  expect(() => compressor('/out/a.tar')).toThrow('Cannot make /out/a.tar');
});
