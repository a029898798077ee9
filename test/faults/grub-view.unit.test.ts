import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { foreseeStart } from './grub-view.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'treeline-grub-view-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const put = (path: string, text: string): void => {
  mkdirSync(dirname(join(directory, path)), { recursive: true });
  writeFileSync(join(directory, path), text);
};

/** What OSTree writes of versions, the newest one first, into one copy of /boot. */
function listVersions(boot: string, versions: readonly string[], place = 'syslinux'): void {
  const labels = versions.map((version) => {
    const kernel = `/ostree/treeline-${checksum(version)}`;
    return `LABEL ${version}\n\tKERNEL ${kernel}/vmlinuz\n\tINITRD ${kernel}/initramfs.img\n\tAPPEND quiet ostree=${deployment(version)}\n`;
  });
  put(`${boot}/${place}/syslinux.cfg`, `TIMEOUT 10\n\n${labels.join('')}`);
}
function putKernel(boot: string, version: string): void {
  put(`${boot}/ostree/treeline-${checksum(version)}/vmlinuz`, `kernel of ${version}`);
  put(`${boot}/ostree/treeline-${checksum(version)}/initramfs.img`, 'initramfs');
}
const checksum = (version: string): string =>
  createHash('sha256').update(`kernel of ${version}initramfs`).digest('hex');
const deployment = (version: string): string => `/ostree/boot.0/treeline/${version}/0`;
const deploy = (version: string): void => put(`root${deployment(version)}/usr/bin/true`, '');
const foresee = () =>
  foreseeStart(join(directory, 'seen'), join(directory, 'replayed'), join(directory, 'root'));

beforeEach(() => {
  for (const boot of ['seen', 'replayed']) {
    listVersions(boot, ['new', 'old']);
    for (const version of ['new', 'old']) putKernel(boot, version);
  }
  deploy('new');
  deploy('old');
});

it('starts the newest version, whose kernel and deployment are there', async () => {
  expect(await foresee()).toEqual({ mended: false, problems: [] });
});

it('starts what an old list names, as long as that is there', async () => {
  listVersions('seen', ['old']);
  expect(await foresee()).toEqual({ mended: false, problems: [] });
});

it('lets the initramfs mend an old list whose deployment is gone', async () => {
  listVersions('seen', ['older']);
  putKernel('seen', 'older');
  expect(await foresee()).toEqual({ mended: true, problems: [] });
});

it('does not get up where the deployment is gone and no newer list helps', async () => {
  rmSync(join(directory, `root${deployment('new')}`), { recursive: true });
  expect(await foresee()).toMatchObject({
    mended: false,
    problems: [expect.stringContaining('there is no')],
  });
});

it('goes on to the version before where a kernel is missing', async () => {
  rmSync(join(directory, `seen/ostree/treeline-${checksum('new')}/vmlinuz`));
  rmSync(join(directory, `root${deployment('new')}`), { recursive: true });
  expect(await foresee()).toEqual({ mended: false, problems: [] });
});

it('begins with the version before where no try is left', async () => {
  put('seen/grub/grubenv', '# GRUB Environment Block\ntreeline_tries=0\n'.padEnd(1024, '#'));
  rmSync(join(directory, `root${deployment('old')}`), { recursive: true });
  expect(await foresee()).toMatchObject({
    problems: [expect.stringContaining('would start old: there is no')],
  });
});

it('does not get up where a kernel is damaged, or none is there, or no list', async () => {
  put(`seen/ostree/treeline-${checksum('new')}/vmlinuz`, 'another one');
  expect(await foresee()).toMatchObject({ problems: [expect.stringContaining('is damaged')] });
  rmSync(join(directory, 'seen/ostree'), { recursive: true });
  expect(await foresee()).toMatchObject({ problems: [expect.stringContaining('no entry')] });
  rmSync(join(directory, 'seen/syslinux'), { recursive: true });
  expect(await foresee()).toMatchObject({ problems: [expect.stringContaining('no entry')] });
});

it('looks for the list where grub.cfg looks', async () => {
  rmSync(join(directory, 'seen/syslinux'), { recursive: true });
  listVersions('seen', ['old'], 'loader.1');
  expect(await foresee()).toEqual({ mended: false, problems: [] });
});
