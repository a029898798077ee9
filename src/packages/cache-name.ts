/** How a package's file in the cache is called, less its suffix: its checksum, in hexadecimal. */
export const cacheName = (checksum: string): string =>
  checksum.startsWith('sha256:')
    ? checksum.slice('sha256:'.length)
    : // apk's, `Q1` and base64, which has slashes.
      Buffer.from(checksum.slice(2), 'base64').toString('hex');
