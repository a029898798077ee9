import { cp, mkdir, readFile, readdir, realpath, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { alpineRelease } from './alpine-fetch.ts';
import { alpineDirectory } from './alpine-repository.ts';
import type { ApkRequest, TestKey } from './apks.ts';
import { buildApk, makeKey, writeRepository } from './apks.ts';

export interface AlpineMirror {
  /** For --mirror: has <release>/main, as Alpine made it, and <release>/community, signed with the test's key. */
  directory: string;
  /** For --overlay: a layer that pins the test's key for community. */
  overlay: string;
  /** Writes community anew. `extra`: packages beside those that every Alpine image needs. */
  publish(options?: { release?: 'first' | 'second'; extra?: readonly ApkRequest[] }): Promise<void>;
}

/**
 * Makes a mirror from which every Alpine image can be built: main is Alpine's own; what it lacks is made of Debian's
 * packages in `debs`, a directory with those of a Debian image for virtual machines (`.treeline/cache/packages`).
 * `directory` gets `alpine` (the mirror), `overlay`, and `unpacked`.
 */
export async function makeAlpineMirror(directory: string, debs: string): Promise<AlpineMirror> {
  const mirror = join(directory, 'alpine');
  const overlay = join(directory, 'overlay');
  const unpacked = join(directory, 'unpacked');
  const key = makeKey('test.rsa.pub');
  const community = join(mirror, alpineRelease, 'community');
  await rm(unpacked, { recursive: true, force: true });
  await writeKeyLayer(overlay, key);
  await cp(join(alpineDirectory, alpineRelease, 'main'), join(mirror, alpineRelease, 'main'), {
    recursive: true,
  });
  const programs = await unpackPrograms(debs, unpacked);
  const kernel = await unpackKernel(debs, join(unpacked, 'kernel'));
  const constant = programs.map((request) => buildApk(request, key));
  return {
    directory: mirror,
    overlay,
    async publish({ release = 'first', extra = [] } = {}) {
      if (release === 'second') await compressModules(kernel.from);
      const version = `${kernel.version}-r${release === 'first' ? 0 : 1}`;
      const changing = [linuxVirt({ ...kernel, version }), ...extra];
      await rm(community, { recursive: true, force: true });
      writeRepository(community, [...constant, ...changing.map((request) => buildApk(request, key))], key);
    },
  };
}

async function writeKeyLayer(overlay: string, key: TestKey): Promise<void> {
  await mkdir(join(overlay, 'keys'), { recursive: true });
  await writeFile(join(overlay, 'keys', key.name), key.publicPem);
  await writeFile(
    join(overlay, 'layer.yaml'),
    [
      '# Packages that the tests made.',
      `repositories: [{name: community, keys: [${key.name}]}]`,
      '# Alpine’s kernel has ext4 as a module; this one does not, so another file system stands in.',
      'kernel: {initramfs: [squashfs]}',
      '',
    ].join('\n'),
  );
}

/** Debian's glibc programs with the libraries that they need, and its busybox, as Alpine's packages are named. */
async function unpackPrograms(debs: string, directory: string): Promise<ApkRequest[]> {
  const packages = await readPackages(debs);
  const places = ['ostree', 'gpgv', 'busybox', 'dropbear'].map((name) => join(directory, name));
  const [ostree, gpgv, busybox, dropbear] = places as [string, string, string, string];
  const needed = closure(packages, ['ostree', 'gpg']);
  await Promise.all([
    unpackAll(
      needed.map(({ file }) => file),
      ostree,
    ),
    unpackAll(
      closure(packages, ['dropbear-bin'])
        .filter((deb) => !needed.includes(deb))
        .map(({ file }) => file),
      dropbear,
    ),
    unpackAll([find(packages, 'gpgv').file], gpgv),
    unpackAll([find(packages, 'busybox-static').file], busybox),
  ]);
  for (const name of ['etc', 'var', 'usr/share', 'usr/sbin'])
    await rm(join(ostree, name), { recursive: true, force: true });
  // Debian's libraries keep out of the way of Alpine's; only the loader's place is fixed.
  const libraries = join('usr/lib/x86_64-linux-gnu');
  for (const root of [ostree, dropbear]) {
    const old = join(root, 'lib/x86_64-linux-gnu');
    for (const name of await readdir(old)) await rename(join(old, name), join(root, libraries, name));
    await rm(join(root, 'lib'), { recursive: true });
  }
  await rm(join(ostree, 'lib64/ld-linux-x86-64.so.2'));
  await blankLargestSection(join(ostree, libraries, 'libicudata.so.72'));
  await symlink(`/${libraries}/ld-linux-x86-64.so.2`, join(ostree, 'lib64/ld-linux-x86-64.so.2'));
  await rm(join(gpgv, 'usr/share'), { recursive: true });
  for (const name of ['etc', 'usr/share']) await rm(join(dropbear, name), { recursive: true, force: true });
  await mkdir(join(busybox, 'only/bin'), { recursive: true });
  await rename(join(busybox, 'bin/busybox'), join(busybox, 'only/bin/busybox.static'));
  return [
    { name: 'ostree', version: '2022.7-r0', from: ostree },
    { name: 'gpgv', version: '2.2.40-r0', depends: ['ostree'], from: gpgv },
    { name: 'dropbear', version: '2022.83-r0', depends: ['ostree'], from: dropbear },
    { name: 'busybox-static', version: '1.35.0-r0', from: join(busybox, 'only') },
  ];
}

/** Fills 30 MB of data that nothing here reads with zeros, which take no time to compress. */
async function blankLargestSection(library: string): Promise<void> {
  const file = await realpath(library);
  const elf = await readFile(file);
  const [first, size, count] = [elf.readBigUInt64LE(0x28), elf.readUInt16LE(0x3a), elf.readUInt16LE(0x3c)];
  const sections = Array.from({ length: count }, (_, index) => {
    const at = Number(first) + index * size;
    return { start: Number(elf.readBigUInt64LE(at + 0x18)), bytes: Number(elf.readBigUInt64LE(at + 0x20)) };
  });
  const { start, bytes } = sections.toSorted((a, b) => b.bytes - a.bytes)[0]!;
  await writeFile(file, elf.fill(0, start, start + bytes));
}

interface Kernel {
  /** `6.1.192`. */
  version: string;
  /** `6.1.0-56-cloud-amd64`, as uname -r says. */
  release: string;
  from: string;
}

async function unpackKernel(debs: string, directory: string): Promise<Kernel> {
  const packages = await readPackages(debs);
  const image = find(packages, /^linux-image-\d.*-cloud-amd64$/);
  await unpackAll([image.file], directory);
  const release = image.name.replace('linux-image-', '');
  for (const name of ['vmlinuz', 'System.map', 'config']) {
    await rename(join(directory, `boot/${name}-${release}`), join(directory, `boot/${name}-virt`));
  }
  await rm(join(directory, 'usr'), { recursive: true });
  await mkdir(join(directory, 'usr/share/kernel/virt'), { recursive: true });
  await writeFile(join(directory, 'usr/share/kernel/virt/kernel.release'), `${release}\n`);
  await execa('depmod', ['--basedir', directory, release]);
  return { version: image.version.replace(/-.*/, ''), release, from: directory };
}

/** As Alpine's package of this name is, but without a trigger. */
const linuxVirt = ({ version, from }: Kernel): ApkRequest => ({
  name: 'linux-virt',
  version,
  depends: ['initramfs-generator'],
  from,
});

/** Alpine's own kernels have compressed modules. */
async function compressModules(kernel: string): Promise<void> {
  const [release] = (await readdir(join(kernel, 'lib/modules'))) as [string];
  await execa('find', [join(kernel, 'lib/modules'), '-name', '*.ko', '-exec', 'gzip', '-1', '-n', '{}', '+']);
  await execa('depmod', ['--basedir', kernel, release]);
}

interface Deb {
  file: string;
  name: string;
  version: string;
  /** What Depends says, a list of alternatives for each. */
  depends: string[][];
}

async function readPackages(debs: string): Promise<Deb[]> {
  const files = (await readdir(debs)).filter((name) => name.endsWith('.deb'));
  const read = async (name: string): Promise<Deb> => {
    const file = join(debs, name);
    const format = ['Package', 'Version', 'Depends'].map((field) => `\${${field}}`).join('\t');
    const { stdout } = await execa('dpkg-deb', ['--show', `--showformat=${format}`, file]);
    const [deb = '', version = '', depends = ''] = stdout.split('\t');
    return {
      file,
      name: deb,
      version,
      depends: depends
        .split(',')
        .map((one) => one.split('|').map((alternative) => alternative.trim().split(/[\s:(]/)[0]!)),
    };
  };
  return Promise.all(files.map(read));
}

function find(packages: readonly Deb[], name: string | RegExp): Deb {
  const found = packages.find((each) =>
    typeof name === 'string' ? each.name === name : name.test(each.name),
  );
  if (found === undefined) throw new Error(`no Debian package ${name}`);
  return found;
}

/** Packages and what they need, as far as it is there: a Debian image leaves out what nothing in it uses. */
function closure(packages: readonly Deb[], names: readonly string[]): Deb[] {
  const found = new Set(names.map((name) => find(packages, name)));
  for (const each of found) {
    for (const alternatives of each.depends) {
      const next = packages.find(({ name }) => alternatives.includes(name));
      if (next !== undefined) found.add(next);
    }
  }
  return [...found];
}

async function unpackAll(files: readonly string[], directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  for (const file of files) await execa('dpkg-deb', ['--extract', file, directory]);
}
