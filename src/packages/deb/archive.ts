import { TreelineError } from '../../host/errors.ts';
import { readBytes } from '../../host/files.ts';

const headerBytes = 60;

/**
 * The files of a .deb: its data.tar, compressed as the package has it (deb(5): an ar(5) archive of debian-binary,
 * control.tar and data.tar). Throws 'package' where there is none.
 */
export async function readDataArchive(path: string): Promise<Uint8Array> {
  const archive = await readBytes(path);
  const magic = '!<arch>\n';
  if (archive.subarray(0, magic.length).toString('latin1') === magic) {
    for (let offset = magic.length; offset + headerBytes <= archive.length;) {
      const header = archive.subarray(offset, offset + headerBytes).toString('latin1');
      const [name, size] = [header.slice(0, 16).trim(), Number(header.slice(48, 58))];
      const start = offset + headerBytes;
      if (!Number.isSafeInteger(size) || size < 0 || start + size > archive.length) break;
      if (/^data\.tar(\.\w+)?\/?$/.test(name)) return archive.subarray(start, start + size);
      // Members begin at even offsets.
      offset = start + size + (size % 2);
    }
  }
  throw new TreelineError('package', `Cannot unpack ${path}: it is no Debian package, or it is damaged`, {
    hint: 'Remove the file; the next build fetches it again.',
  });
}
