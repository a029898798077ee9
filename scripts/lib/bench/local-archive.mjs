import { createHash } from 'node:crypto';
import { basename, join } from 'node:path';
import { fs } from 'zx';
import { run } from './command.mjs';

/**
 * Makes a Debian archive of packages (paths of .deb files) for peers: DIRECTORY/pool and
 * DIRECTORY/dists/CODENAME/main/binary-amd64. Unsigned: for `[trusted=yes]`. Without `dependencies` apt installs from it
 * just what it is asked for.
 */
export async function writeArchive(directory, { packages, codename, dependencies }) {
  const index = join('dists', codename, 'main/binary-amd64');
  const pool = join(directory, 'pool');
  await fs.emptyDir(pool);
  await fs.ensureDir(join(directory, index));
  const entries = [];
  for (const path of packages) {
    const fields = await run('dpkg-deb', ['--field', path]);
    const bytes = await fs.readFile(path);
    const name = basename(path);
    await fs.writeFile(join(pool, name), bytes);
    const kept = dependencies ? fields : fields.replace(relations, '');
    entries.push(`${kept}\nFilename: pool/${name}\nSize: ${bytes.length}\nSHA256: ${sha256(bytes)}\n\n`);
  }
  // debootstrap overlooks an entry without an empty line after it.
  const text = entries.join('');
  await fs.writeFile(join(directory, index, 'Packages'), text);
  const release = [
    `Suite: ${codename}`,
    `Codename: ${codename}`,
    'Components: main',
    'Architectures: amd64',
    `Date: ${new Date().toUTCString()}`,
    'SHA256:',
    ` ${sha256(text)} ${Buffer.byteLength(text)} main/binary-amd64/Packages`,
  ];
  await fs.writeFile(join(directory, 'dists', codename, 'Release'), `${release.join('\n')}\n`);
}

/** Fields with which a package asks for others or keeps them away; each may go over several lines. */
const relations = /^(Pre-Depends|Depends|Recommends|Suggests|Enhances|Breaks|Conflicts):.*\n?( .*\n?)*/gm;

const sha256 = (data) => createHash('sha256').update(data).digest('hex');
