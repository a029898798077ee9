import { createHash, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { lstatSync, mkdirSync, readFileSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { constants, crc32, deflateRawSync, gzipSync } from 'node:zlib';
import { readMember } from '../../src/packages/apk/formats/gzip-member.ts';
import { writeIndex } from '../../src/packages/apk/formats/index-file.ts';
import type { PublicKey, SigningKey } from '../../src/packages/apk/formats/keys.ts';
import { parsePublicKey } from '../../src/packages/apk/formats/keys.ts';
import { indexEntryOf } from '../../src/packages/apk/formats/package-file.ts';
import { readControl } from '../../src/packages/apk/formats/package-info.ts';
import { alpineDirectory } from './alpine-repository.ts';

/** When every package of the tests was built, seconds since 1970. */
export const buildDate = 1_700_000_000;

export interface TestKey {
  /** The file name of its public half. */
  name: string;
  publicPem: string;
  public: PublicKey;
  signing: SigningKey;
}

const keys = new Map<string, TestKey>();

/** An RSA key of 2048 bits; the same one for the same name within a process. */
export function makeKey(name = 'test@example.org-1.rsa.pub'): TestKey {
  const made = keys.get(name) ?? generateKey(name);
  keys.set(name, made);
  return made;
}

function generateKey(name: string): TestKey {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const publicPem = createPublicKey(privateKey).export({ type: 'spki', format: 'pem' }).toString();
  return { name, publicPem, public: parsePublicKey(name, publicPem), signing: { name, key: privateKey } };
}

export interface ApkFile {
  content?: string | Buffer;
  /** 0644 for files and links, 0755 for directories. */
  mode?: number;
  uname?: string;
  gname?: string;
  /** Makes it a symlink with this text. */
  link?: string;
  /** Makes it a hard link to this path of the package, which must stand before it. */
  hardlink?: string;
  /** A tar type flag instead of the one that fits, e.g. `5` directory, `3` character device. */
  type?: string;
}

export interface ApkRequest {
  name: string;
  version?: string;
  arch?: string;
  depends?: readonly string[];
  provides?: readonly string[];
  installIf?: readonly string[];
  /** Paths without a leading slash, in their order; one that ends with a slash is a directory. Directories above are added. */
  files?: Readonly<Record<string, string | ApkFile>>;
  /** Packs this directory too, before `files`; all belongs to root. */
  from?: string;
  /** `.pre-install`, `.post-install`, `.trigger`, … → text. */
  scripts?: Readonly<Record<string, string>>;
  /** Directories that the package's trigger watches. */
  triggers?: readonly string[];
  /** More lines of .PKGINFO, e.g. `provider_priority = 10`. */
  pkginfo?: readonly string[];
  /** The data as a tar of its own making, instead of `files` and `from`. */
  data?: Buffer;
  /** The data as a gzip member of its own making. */
  packedData?: Buffer;
  /** The hash that .PKGINFO states, instead of the true one. */
  datahash?: string;
  /** The installed size that .PKGINFO states, instead of the true one. */
  size?: number;
  buildDate?: number;
  /** How it is signed: with SHA-1, as Alpine does, or SHA-256. */
  scheme?: 'RSA' | 'RSA256';
}

/** An .apk file as abuild makes it, with a small file in it unless the request names others. */
export function buildApk(request: ApkRequest, key: TestKey): Buffer {
  const { name, files = request.from === undefined ? { [`usr/share/${name}`]: `${name}\n` } : {} } = request;
  const unpacked = request.data ?? packFiles({ ...readDirectory(request.from), ...files });
  const data = request.packedData ?? gzipSync(unpacked, { level: 1 });
  const control = controlMember(request, { data, size: request.size ?? unpacked.length });
  return Buffer.concat([signatureMember(control, key, request.scheme), control, data]);
}

/** A gzip member that unpacks to so many MiB of zeros, made without packing them: the same deflate block again and again. */
export function gzipOfZeros(mebibytes: number): Buffer {
  const block = Buffer.alloc(1 << 20);
  const packed = deflateRawSync(block, { finishFlush: constants.Z_FULL_FLUSH });
  let checksum = 0;
  for (let done = 0; done < mebibytes; done += 1) checksum = crc32(block, checksum);
  const header = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(checksum, 0);
  trailer.writeUInt32LE((mebibytes << 20) >>> 0, 4);
  return Buffer.concat([
    header,
    ...Array.from({ length: mebibytes }, () => packed),
    deflateRawSync(''),
    trailer,
  ]);
}

/** The gzip members of a package or index, as they are. */
export function membersOf(bytes: Buffer): Buffer[] {
  const members: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const { end } = readMember(bytes, at, 2 ** 31);
    members.push(bytes.subarray(at, end));
    at = end;
  }
  return members;
}

/** The member that signs `signed`, which stands behind it. */
export function signatureMember(signed: Buffer, key: TestKey, scheme: 'RSA' | 'RSA256' = 'RSA256'): Buffer {
  const signature = sign(scheme === 'RSA' ? 'sha1' : 'sha256', signed, key.signing.key);
  return gzipSync(rawTarEntry({ path: `.SIGN.${scheme}.${key.name}`, content: signature }));
}

function controlMember(request: ApkRequest, { data, size }: { data: Buffer; size: number }): Buffer {
  const { name, version = '1.0-r0', arch = 'x86_64' } = request;
  const lines = [
    '# Generated by a test',
    `pkgname = ${name}`,
    `pkgver = ${version}`,
    `pkgdesc = ${name} for tests`,
    'url = https://example.org',
    `builddate = ${request.buildDate ?? buildDate}`,
    'packager = Test <test@example.org>',
    `size = ${size}`,
    `arch = ${arch}`,
    `origin = ${name}`,
    'maintainer = Test <test@example.org>',
    'license = MIT',
  ];
  if (request.triggers !== undefined) lines.push(`triggers = ${request.triggers.join(' ')}`);
  if (request.installIf !== undefined) lines.push(`install_if = ${request.installIf.join(' ')}`);
  for (const item of request.provides ?? []) lines.push(`provides = ${item}`);
  for (const item of request.depends ?? []) lines.push(`depend = ${item}`);
  lines.push(...(request.pkginfo ?? []));
  lines.push(`datahash = ${request.datahash ?? createHash('sha256').update(data).digest('hex')}`);
  const scripts = Object.entries(request.scripts ?? {}).map(([path, content]) =>
    rawTarEntry({ path, content, mode: 0o755 }),
  );
  return gzipSync(
    Buffer.concat([rawTarEntry({ path: '.PKGINFO', content: `${lines.join('\n')}\n` }), ...scripts]),
  );
}

/** What a directory holds, as `files`, sorted. */
function readDirectory(root: string | undefined, below = ''): Record<string, ApkFile> {
  if (root === undefined) return {};
  const found: Record<string, ApkFile> = {};
  for (const name of readdirSync(join(root, below)).toSorted()) {
    const path = below === '' ? name : `${below}/${name}`;
    const stat = lstatSync(join(root, path));
    const mode = stat.mode & 0o7777;
    if (stat.isDirectory()) Object.assign(found, { [`${path}/`]: { mode } }, readDirectory(root, path));
    else if (stat.isSymbolicLink()) found[path] = { link: readlinkSync(join(root, path)) };
    else found[path] = { mode, content: readFileSync(join(root, path)) };
  }
  return found;
}

/** A tar of `files` and the directories above them, with the checksums that abuild-tar adds and the end marker. */
function packFiles(files: Readonly<Record<string, string | ApkFile>>): Buffer {
  const chunks: Buffer[] = [];
  const directories = new Set<string>();
  const addDirectory = (path: string, file: ApkFile): void => {
    if (directories.has(path)) return;
    directories.add(path);
    chunks.push(rawTarEntry({ mode: 0o755, type: '5', ...file, path: `${path}/` }));
  };
  for (const [path, value] of Object.entries(files)) {
    const file = typeof value === 'string' ? { content: value } : value;
    const parts = path.split('/').filter((part) => part !== '');
    for (let depth = 1; depth < parts.length; depth += 1) addDirectory(parts.slice(0, depth).join('/'), {});
    if (path.endsWith('/') || file.type === '5') addDirectory(parts.join('/'), file);
    else chunks.push(...packFile(path, file));
  }
  return Buffer.concat([...chunks, tarEnd]);
}

function packFile(path: string, file: ApkFile): Buffer[] {
  const link = file.link ?? file.hardlink;
  const type = file.type ?? (file.link !== undefined ? '2' : file.hardlink !== undefined ? '1' : '0');
  const content = Buffer.from(file.content ?? '');
  const records: Record<string, string> = {};
  if (type === '0' || type === '2') {
    const hashed = type === '2' ? (link ?? '') : content;
    records['APK-TOOLS.checksum.SHA1'] = createHash('sha1').update(hashed).digest('hex');
  }
  if (Buffer.byteLength(path) > 100) records['path'] = path;
  if (link !== undefined && Buffer.byteLength(link) > 100) records['linkpath'] = link;
  const entry = rawTarEntry({
    ...file,
    path: path.slice(0, 100),
    type,
    ...(link === undefined ? {} : { link: link.slice(0, 100) }),
    content,
  });
  return Object.keys(records).length === 0 ? [entry] : [paxHeader(records), entry];
}

/** Ends a tar archive. */
export const tarEnd: Buffer = Buffer.alloc(1024);

/** A PAX header with these records, for the entry behind it. */
export function paxHeader(records: Readonly<Record<string, string>>, type: 'x' | 'g' = 'x'): Buffer {
  const lines = Object.entries(records).map(([key, value]) => paxRecord(key, value));
  return rawTarEntry({ path: './PaxHeaders/entry', type, content: lines.join('') });
}

/** `LENGTH KEY=VALUE\n`, where LENGTH counts itself. */
function paxRecord(key: string, value: string): string {
  const rest = Buffer.byteLength(` ${key}=${value}\n`);
  let length = rest;
  while (length !== rest + String(length).length) length = rest + String(length).length;
  return `${length} ${key}=${value}\n`;
}

export interface RawTarEntry {
  path: string;
  /** The type flag; `0`, a file, unless it is given. */
  type?: string;
  mode?: number;
  /** The link target. */
  link?: string;
  content?: string | Buffer;
  uname?: string;
  gname?: string;
  /** The ustar prefix. */
  prefix?: string;
  /** `ustar\0` and `00` unless it is given. */
  magic?: string;
  /** The size that the header states, instead of the content's: a number or the field's own bytes. */
  size?: number | string;
  /** The checksum that the header states, instead of the true one. */
  checksum?: number;
}

/** A header, byte by byte as it is asked for, with its content and padding. Texts are UTF-8, cut at their fields' lengths. */
export function rawTarEntry(entry: RawTarEntry): Buffer {
  const content = Buffer.from(entry.content ?? '');
  const header = Buffer.alloc(512);
  const put = (text: string, offset: number, length: number): void => {
    Buffer.from(text).copy(header, offset, 0, length);
  };
  const octal = (value: number, digits: number): string => value.toString(8).padStart(digits, '0');
  const size = entry.size ?? content.length;
  put(entry.path, 0, 100);
  put(octal(entry.mode ?? (entry.type === '2' ? 0o777 : 0o644), 7), 100, 8);
  put(octal(0, 7), 108, 8);
  put(octal(0, 7), 116, 8);
  put(typeof size === 'string' ? size : octal(size, 11), 124, 12);
  put(octal(buildDate, 11), 136, 12);
  put('        ', 148, 8);
  put(entry.type ?? '0', 156, 1);
  put(entry.link ?? '', 157, 100);
  put(entry.magic ?? 'ustar\u000000', 257, 8);
  put(entry.uname ?? 'root', 265, 32);
  put(entry.gname ?? 'root', 297, 32);
  put(entry.prefix ?? '', 345, 155);
  const sum = header.reduce((total, byte) => total + byte, 0);
  put(`${octal(entry.checksum ?? sum, 6)}\0 `, 148, 8);
  return Buffer.concat([header, content, Buffer.alloc(-content.length & 511)]);
}

/**
 * Writes packages as a repository: `directory` is …/<release>/main; `<arch>/NAME-VERSION.apk` and a signed
 * `<arch>/APKINDEX.tar.gz` appear in it. The packages are indexed as they are, hostile ones too.
 */
export function writeRepository(
  directory: string,
  apks: readonly Buffer[],
  key: TestKey,
  { arch = 'x86_64' }: { arch?: string } = {},
): void {
  mkdirSync(join(directory, arch), { recursive: true });
  const entries = apks.map((bytes) => {
    const { end: start } = readMember(bytes, 0, 1 << 20);
    const { content, end } = readMember(bytes, start, 1 << 24);
    const control = readControl(content);
    const checksum = `Q1${createHash('sha1').update(bytes.subarray(start, end)).digest('base64')}`;
    writeFileSync(join(directory, arch, `${control.name}-${control.version}.apk`), bytes);
    return indexEntryOf({ ...control, checksum, size: bytes.length }, arch);
  });
  writeFileSync(
    join(directory, arch, 'APKINDEX.tar.gz'),
    writeIndex(entries, { description: 'test', key: key.signing }),
  );
}

/** The keys that signed Alpine's own repository. */
export function alpineKeys(arch = 'x86_64'): PublicKey[] {
  const directory = join(alpineDirectory, 'keys', arch);
  return readdirSync(directory).map((name) =>
    parsePublicKey(name, readFileSync(join(directory, name), 'utf8')),
  );
}
