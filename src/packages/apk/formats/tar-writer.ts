import { Header } from 'tar';

/** Ends a tar archive: two blocks of zeros. */
export const tarEnd: Buffer = Buffer.alloc(1024);

/** A file in a ustar archive (mode 0644, owner root, time 0): header, content and padding. `path` has 100 bytes at most. */
export function tarFile(path: string, content: Buffer): Buffer {
  const header = new Header({
    path,
    type: 'File',
    mode: 0o644,
    size: content.length,
    mtime: new Date(0),
    uid: 0,
    gid: 0,
    uname: 'root',
    gname: 'root',
  });
  const block = Buffer.alloc(512);
  if (header.encode(block)) throw new RangeError(`${path} does not fit into a ustar header`);
  return Buffer.concat([block, content, Buffer.alloc(-content.length & 511)]);
}
