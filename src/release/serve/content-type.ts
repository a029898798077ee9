const text = 'text/plain; charset=utf-8';

/** By the end of the name. */
const types: Readonly<Record<string, string>> = {
  '.json': 'application/json',
  '.delta': 'application/octet-stream',
  '.squashfs': 'application/vnd.squashfs',
  '.img': 'application/octet-stream',
  '.raw': 'application/octet-stream',
  '.qcow2': 'application/x-qemu-disk',
  '.tar': 'application/x-tar',
  '.gz': 'application/gzip',
  '.tgz': 'application/gzip',
  '.xz': 'application/x-xz',
  '.zst': 'application/zstd',
  '.sig': 'application/pgp-signature',
  '.asc': 'application/pgp-signature',
  '.gpg': 'application/pgp-keys',
  '.html': 'text/html; charset=utf-8',
  '.txt': text,
  '.md': text,
  '.log': text,
  '.list': text,
  '.cfg': text,
  '.conf': text,
  '.yaml': text,
  '.yml': text,
  '.sha256': text,
  sha256sums: text,
};

/** The media type of a file, by its name. */
export function contentType(name: string): string {
  const lower = name.toLowerCase();
  const end = Object.keys(types).find((candidate) => lower.endsWith(candidate));
  return end === undefined ? 'application/octet-stream' : types[end]!;
}
