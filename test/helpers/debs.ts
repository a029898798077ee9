import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

export interface DebRequest {
  name: string;
  version?: string;
  depends?: string;
  /** Path in the package → text. */
  files?: Readonly<Record<string, string>>;
  /** Changes the built tree before it is packed. */
  prepare?: (root: string) => void;
}

/** When every package of the tests was built, seconds since 1970. */
export const buildDate = 1_700_000_000;

/** Builds a .deb in `directory` and gives its path. */
export function buildDeb(directory: string, request: DebRequest): string {
  const {
    name,
    version = '1.0',
    depends,
    files = { [`usr/share/${name}`]: `${name} ${version}\n` },
  } = request;
  const root = mkdtempSync(join(tmpdir(), 'tl-deb-'));
  try {
    const control = [
      `Package: ${name}`,
      `Version: ${version}`,
      'Architecture: amd64',
      'Maintainer: Test <test@localhost>',
    ];
    if (depends !== undefined) control.push(`Depends: ${depends}`);
    const all = { 'DEBIAN/control': `${control.join('\n')}\nDescription: ${name}\n`, ...files };
    for (const [path, text] of Object.entries(all)) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    request.prepare?.(root);
    mkdirSync(directory, { recursive: true });
    const path = join(directory, `${name}_${version.replace(/^\d+:/, '')}_amd64.deb`);
    execFileSync('dpkg-deb', ['--root-owner-group', '--build', '-Znone', root, path], {
      stdio: 'pipe',
      env: { ...process.env, SOURCE_DATE_EPOCH: String(buildDate) },
    });
    return path;
  } finally {
    rmSync(root, { recursive: true });
  }
}

/** Writes the `Packages` file of a flat repository that holds the .debs in `directory`. */
export function indexDebs(directory: string): void {
  const debs = readdirSync(directory).filter((name) => name.endsWith('.deb'));
  const records = debs.toSorted().map((file) => {
    const control = execFileSync('dpkg-deb', ['--field', join(directory, file)], { encoding: 'utf8' });
    const [description, ...fields] = control.trim().split('\n').toReversed();
    const sha256 = createHash('sha256')
      .update(readFileSync(join(directory, file)))
      .digest('hex');
    const size = statSync(join(directory, file)).size;
    return [
      ...fields.toReversed(),
      `Filename: ./${file}`,
      `Size: ${size}`,
      `SHA256: ${sha256}`,
      description,
      '',
    ].join('\n');
  });
  writeFileSync(join(directory, 'Packages'), records.join('\n'));
}

/** The sources.list line for such a repository. */
export const mirrorLine = (directory: string): string => `deb [trusted=yes] file:${directory} ./`;
